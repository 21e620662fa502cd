#!/bin/sh
# A compiler's command for tests: sh unoptimized.sh NAMES COMPILER ARGUMENT...
# Kernels of the NAMES (a,b,c) are compiled as it is told. All others without optimization, and GCC takes products of tiles from an
# object that it has compiled before: a cell takes a tenth of the time. For both it reads the kernels' header in a prepared form.
names=$1 compiler=$2
shift 2
headers='' flags='' source='' told='' quick=-O0
for argument; do
    case $argument in
    -I*) headers=${argument#-I} ;;
    -O*) told=$argument ;;
    -std=* | -f* | -m* | -D*) flags="$flags $argument" ;;
    *.cpp) source=${argument##*/} ;;
    esac
done
[ "$source" ] || exec "$compiler" "$@"
case ,$names, in *,"${source%-*}",*) quick='' ;; esac  # after the name comes the hash of all that the kernel is made of
apart=$quick
case $flags in *-DINT8*) apart='' ;; esac  # whose products take scales, a type that this file alone knows
known=$( (echo "$compiler ${quick:-$told} $flags"; cat "$0" "$headers"/*.h) | cksum | tr ' ' -)
prepared=${PREPARED_HEADERS:-/tmp}/carousel-header-$(id -u)-$known
if [ ! -f "$prepared/runtime.h.gch" ]; then
    "$compiler" --version | grep -q 'Free Software Foundation' || exec "$compiler" "$@" $quick
    mkdir -p -m 700 "$prepared"
    mkdir -p "$prepared/$$"
    cd "$prepared/$$" || exit
    if [ "$apart" ]; then  # multiply<R, C> gets a name that the linker sees, and is defined in products.o alone
        sed "s/^struct Scales {};/} namespace apart { & } using apart::Scales; namespace {/
            /^template <int R, int C>\$/ { s/^/} namespace apart __attribute__((visibility(\"hidden\"))) {\n/
            :more; n; /^}/! b more; s/\$/\n#include \"products.h\"\n} using apart::multiply; namespace {/ }" "$headers/runtime.h" > runtime.h
        for size in 1,1 1,2 1,3 1,4 1,5 1,6 1,7 1,8 2,1 2,2 2,3 2,4 2,5 2,6 2,7 2,8 3,1 3,2 3,3 3,4 3,5 3,6 3,7 3,8 \
            4,1 4,2 4,3 4,4 4,5 4,6 5,1 5,2 5,3 5,4 6,1 6,2 6,3 6,4 7,1 7,2 7,3 8,1 8,2 8,3; do
            echo "template void multiply<$size>(const Word* const*, const Packed*, long, Scales, V*, bool);"
        done > products.cpp
        sed 's/^/extern /' products.cpp > products.h
        sed -i '1i #include "whole.h"\nnamespace apart {' products.cpp && echo '}' >> products.cpp
        sed '/products.h/d' runtime.h > whole.h
        # shellcheck disable=SC2086  # the flags are several words
        "$compiler" $flags -O0 "-I$headers" -c products.cpp -o products.o && mv products.o ..
    else
        cp "$headers/runtime.h" .
    fi
    # shellcheck disable=SC2086
    "$compiler" $flags "${quick:-$told}" "-I$headers" -x c++-header runtime.h -o runtime.h.gch && mv runtime.h.gch ..
    cd "$OLDPWD" && rm -r "${prepared:?}/$$"
fi
exec "$compiler" "-I$prepared" "$@" ${apart:+"$prepared/products.o"} $quick
