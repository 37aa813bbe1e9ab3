#!/bin/sh
# valgrind.sh PROGRAM: what valgrind says of the mistakes in valgrind_case.c, and of none.
set -eu
program=$1
# No valgrind; or none when mcache was compiled; or a build without assertions.
command -v valgrind >/dev/null && "$program" annotated || exit 77
report=$(mktemp)
trap 'rm -f "$report"' EXIT

# CASE STATUS WORDS: runs the case; the report must have the words in it.
expect() {
    status=0
    timeout 100 valgrind --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite \
        "$program" "$1" >"$report" 2>&1 || status=$?
    if [ "$status" -ne "$2" ] || ! grep -q "$3" "$report"; then
        cat "$report"
        echo "$1: status $status, expected $2 and '$3'"
        exit 1
    fi
}

expect nothing-wrong 0 'ERROR SUMMARY: 0 errors'
if grep -E 'no neighbours|contents are wrong' "$report"; then
    exit 1
fi
expect use-after-free 9 'Invalid read of size 1'
expect read-past-the-end 9 'Invalid read of size 1'
if grep 'no neighbours' "$report"; then
    exit 1
fi
expect leak 9 '1,0[0-9]* bytes in 1 blocks are definitely lost'
expect use-uninitialised 9 'depends on uninitialised value'
