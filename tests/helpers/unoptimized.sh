#!/bin/sh
# A compiler's command for tests: sh unoptimized.sh NAMES COMPILER ARGUMENT...
# Kernels of the NAMES (a,b,c) are compiled as it is told. All others without optimization, and GCC reads the kernels' header in
# a form that it has prepared: a cell takes a fifth of the time.
names=$1 compiler=$2
shift 2
headers='' flags='' source=''
for argument; do
    case $argument in
    -I*) headers=${argument#-I} ;;
    -O*) ;;
    -std=* | -f* | -m* | -D*) flags="$flags $argument" ;;
    *.cpp) source=${argument##*/} ;;
    esac
done
case ,$names, in *,"${source%-*}",*) source='' ;; esac  # after the name comes the hash of all that the kernel is made of
[ "$source" ] || exec "$compiler" "$@"
prepared=${PREPARED_HEADERS:-/tmp}/carousel-header-$(id -u)-$( (echo "$compiler $flags"; cat "$headers"/*.h) | cksum | tr ' ' -)
if [ ! -f "$prepared/runtime.h.gch" ]; then
    "$compiler" --version | grep -q 'Free Software Foundation' || exec "$compiler" "$@" -O0
    mkdir -p -m 700 "$prepared"
    # shellcheck disable=SC2086  # the flags are several words
    "$compiler" $flags -O0 -x c++-header "$headers/runtime.h" -o "$prepared/$$.gch" && mv "$prepared/$$.gch" "$prepared/runtime.h.gch"
fi
exec "$compiler" "-I$prepared" "$@" -O0
