#!/bin/sh
# A compiler's command that does what it is told, but without optimization, and reads the kernels' header in a form that GCC
# has prepared: a cell takes a fifth of the time.
headers='' flags='' source=''
for argument; do
    case $argument in
    -I*) headers=${argument#-I} ;;
    -std=* | -f* | -m* | -D*) flags="$flags $argument" ;;
    *.cpp) source=$argument ;;
    esac
done
if [ -z "$source" ] || ! "$1" --version | grep -q 'Free Software Foundation'; then
    exec "$@" -O0
fi
prepared=${TMPDIR:-/tmp}/carousel-header-$(id -u)-$( (echo "$* $flags" | sed "s#[^ ]*/[^ ]*##g"; cat "$headers"/*.h) | cksum | tr ' ' -)
if [ ! -f "$prepared/runtime.h.gch" ]; then
    mkdir -p -m 700 "$prepared"
    # shellcheck disable=SC2086  # the flags are several words
    "$1" $flags -O0 -x c++-header "$headers/runtime.h" -o "$prepared/$$.gch" && mv "$prepared/$$.gch" "$prepared/runtime.h.gch"
fi
compiler=$1
shift
exec "$compiler" "-I$prepared" "$@" -O0
