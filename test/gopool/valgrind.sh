#!/bin/sh
# valgrind.sh PROGRAM: a small storm of panics (panic_storm.c) under valgrind, which finds nothing.
set -eu
program=$1
command -v valgrind >/dev/null || exit 77
timeout 100 valgrind --quiet --error-exitcode=9 --leak-check=full "$program" 2000 no-rss
