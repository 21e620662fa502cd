#!/bin/sh
# A compiler's command for tests: sh unoptimized.sh NAMES COMPILER ARGUMENT...
# Kernels of the NAMES (a,b,c), and what all kernels have in common, are compiled as it is told, all others without optimization.
# A file is called by its kernel's name, the direction, and the hash of all that it is made of: lstm-v3-forward-0123.cpp.
names=$1 compiler=$2
shift 2
source=''
for argument; do
    case $argument in *.cpp) source=${argument##*/} ;; esac
done
source=${source%-*}
case ,products,$names, in *,"${source%-*ward}",*) exec "$compiler" "$@" ;; esac
exec "$compiler" "$@" -O0
