#!/bin/sh
# linear.sh PROGRAM: what comes byte by byte (drip.c) costs instructions in proportion to the bytes.
# From 16 KiB to 32 KiB they double, what the process costs anyway taken off.
set -eu
program=$1
command -v valgrind >/dev/null || exit 77

instructions() { # SHAPE BYTES
    timeout 50 valgrind --tool=callgrind --callgrind-out-file=/dev/null "$program" "$1" "$2" 2>&1 |
        sed -n 's/.*Collected : //p' | grep .
}

for shape in value fields target name chunks; do
    base=$(instructions $shape 200)
    small=$(($(instructions $shape 16384) - base))
    large=$(($(instructions $shape 32768) - base))
    echo "$shape: 16 KiB $small instructions, 32 KiB $large, $((large / 32768)) for a byte"
    # Between 1.9 and 2.15 times as many.
    if [ $((large * 100)) -gt $((small * 215)) ] || [ $((large * 100)) -lt $((small * 190)) ]; then
        echo "$shape: not in proportion"
        exit 1
    fi
done
