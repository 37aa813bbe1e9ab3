#!/bin/sh
# symbols.sh NM LIBRARY: mcache takes its memory from mmap and from nothing else.
set -eu
undefined=$("$1" -u "$2")
echo "$undefined" | grep -qw mmap || { echo "no reference to mmap: is $2 mcache?"; exit 1; }
if echo "$undefined" |
    grep -wE '(__interceptor_)?(malloc|calloc|realloc|free|posix_memalign|aligned_alloc|strdup)'; then
    exit 1
fi
