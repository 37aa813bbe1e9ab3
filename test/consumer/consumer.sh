#!/bin/sh
# consumer.sh CMAKE CC SOURCE BUILD: small projects take the toolkit from the tree SOURCE and as
# BUILD installs it.
set -eu
cmake=$1 source=$3 build=$4
export CC="$2"
# The outer make's job server and an outer installation's prefixes are not meant for the projects.
unset MAKEFLAGS MFLAGS DESTDIR CMAKE_PREFIX_PATH netpoll_DIR netpoll_ROOT
unset CFLAGS LDFLAGS CMAKE_GENERATOR CMAKE_BUILD_TYPE PKG_CONFIG_PATH
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=$work/prefix
none=/nonexistent

fail() {
    echo "$*"
    exit 1
}

quiet() { # COMMAND...
    "$@" >"$work/log" 2>&1 || {
        cat "$work/log"
        fail "failed: $*"
    }
}

prints() { # LINE PROGRAM
    out=$("$2") || fail "$2: status $?"
    [ "$out" = "$1" ] || fail "$2 printed '$out', expected '$1'"
}

project() { # NAME FOLDER PKG_CONFIG_LIBDIR CMAKE_ARGUMENT...
    name=$1 folder=$2 packages=$3
    shift 3
    PKG_CONFIG_LIBDIR=$packages quiet "$cmake" -G 'Unix Makefiles' \
        -S "$here/$folder" -B "$work/$name" "$@"
    quiet "$cmake" --build "$work/$name" -j 2 --target consumer
}

message='hello from a block of 16'

# Nothing of these may look for liburing, nor have tests, examples or fatal warnings.
project modules buffer "$none" -D CONSUMER_MODULES="$source"
prints "$message" "$work/modules/consumer"
project tree buffer "$none" -D CONSUMER_TREE="$source"
prints "$message" "$work/tree/consumer"
grep -q 'NETPOLL_BUILD_TESTS:BOOL=OFF' "$work/tree/CMakeCache.txt" || fail "the tests are on"

# As a package, at another place than the one it was installed to.
quiet "$cmake" --install "$build" --prefix "$work/first"
mv "$work/first" "$prefix"
project package buffer "$none" -D CMAKE_PREFIX_PATH="$prefix"
prints "$message" "$work/package/consumer"

libdir=$(dirname "$(find "$prefix" -name libmcache.a)")
packages() { # ARGUMENT...
    PKG_CONFIG_LIBDIR="$libdir/pkgconfig${2:+:$2}" pkg-config --cflags --libs "$1"
}
# shellcheck disable=SC2046  # flags are words
quiet "$CC" -o "$work/flags" "$here/buffer/main.c" $(packages linkbuffer)
prints "$message" "$work/flags"

# The static reactor brings liburing along, and says so when there is none.
system=$(pkg-config --variable pc_path pkg-config)
project reactor reactor "$system" -D CMAKE_PREFIX_PATH="$prefix"
prints 'epoll' "$work/reactor/consumer"
# shellcheck disable=SC2046
quiet "$CC" -o "$work/flags" "$here/reactor/main.c" $(packages netpoll "$system")
prints 'epoll' "$work/flags"
if PKG_CONFIG_LIBDIR=$none "$cmake" -S "$here/reactor" -B "$work/without" \
    -D CMAKE_PREFIX_PATH="$prefix" >"$work/log" 2>&1; then
    fail "found a reactor without its liburing"
fi
grep -q 'netpoll::netpoll needs liburing' "$work/log" || {
    cat "$work/log"
    fail "does not name what is missing"
}
