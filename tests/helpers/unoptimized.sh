#!/bin/sh
# A compiler's command for tests: sh unoptimized.sh NAMES COMPILER ARGUMENT...
# Kernels of the NAMES (a,b,c), and what all kernels have in common, are compiled as it is told, all others without optimization.
# A file is called by its kernel's name, what is in it, and the hash of all that it is made of: lstm-v3-forward-backward-0123.cpp.
# What links reads no library of C++'s: most of its time goes there, for nothing that a kernel calls.
names=$1 compiler=$2
shift 2
source='' bare=''
for argument; do
    case $argument in
        *.cpp) source=${argument##*/} ;;
        -shared) [ -e /proc/self ] && bare='-nostdlib -lm -lgcc' ;; # on Linux
    esac
done
source=${source%-*} source=${source%-backward} source=${source%-forward}
case ,products,$names, in *,"$source",*) exec "$compiler" "$@" ;; esac
exec "$compiler" "$@" ${bare:--O0}
