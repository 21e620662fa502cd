#!/bin/sh
# A compiler's command for kernels whose threads are delayed at random after each product of the input, wait and block:
# sh delayed.sh COMPILER ARGUMENT... What a thread reads too early in one of a hundred calls, it then reads too early in many.
for argument; do
    shift
    case $argument in *.cpp)
        if grep -q 'Team team) const' "$argument"; then
            delayed=${argument%.cpp}.delayed.cpp
            sed -E -e 's/team\.wait(_all)?\(\);/& delay(team);/g' \
                -e 's/(forward|backward)_[A-Za-z0-9_]+\(\*this, s, team\);/& delay(team);/g' \
                -e 's/^ *hoist<.*;$/& delay(team);/' \
                -e 's/^#include "runtime.h"/&\
#include <stdlib.h>\
#include <unistd.h>\
static inline void delay(const carousel::Team\& team) {\
    static thread_local unsigned seed = 17u + 977u * team.rank;\
    if (team.size > 1 \&\& rand_r(\&seed) % 3 == 0) usleep(rand_r(\&seed) % 400);\
}/' "$argument" > "$delayed"
            argument=$delayed
        fi ;;
    esac
    set -- "$@" "$argument"
done
exec "$@" -O0
