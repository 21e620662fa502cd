#!/bin/sh
# A compiler's command that does what it is told, with AddressSanitizer in what it makes.
exec "$@" -O1 -fsanitize=address
