#!/bin/sh
# A compiler's command for tests: sh unoptimized.sh NAMES COMPILER ARGUMENT...
# Kernels of the NAMES (a,b,c), and what all kernels have in common, are compiled as it is told, all others without optimization.
names=$1 compiler=$2
shift 2
source=''
for argument; do
    case $argument in *.cpp) source=${argument##*/} ;; esac
done
case ,products,$names, in *,"${source%-*}",*) exec "$compiler" "$@" ;; esac  # after the name comes the hash of all that it is made of
exec "$compiler" "$@" -O0
