#!/bin/sh
# demos.sh NM HOSTILE CACHE_DEMO BUFFER_DEMO: what the demos of single modules say, and that nothing
# else of the toolkit is in them. HOSTILE is 1 where buffers copy whatever they may.
set -eu
nm=$1 hostile=$2 cache=$3 buffer=$4
out=$(mktemp)
err=$(mktemp)
trap 'rm -f "$out" "$err"' EXIT

fail() {
    cat "$out" "$err"
    echo "$1"
    exit 1
}

run() { # STATUS PROGRAM ARGUMENT...
    wanted=$1
    shift
    status=0
    timeout 60 "$@" >"$out" 2>"$err" || status=$?
    [ "$status" -eq "$wanted" ] || fail "$*: status $status, expected $wanted"
}

line() { # REGEX
    grep -qxE "$1" "$out" || fail "no line: $1"
}

flags() { # PROGRAM
    run 0 "$1" --help
    grep -q usage "$out" || fail "no help"
    for wrong in --bogus bogus -h; do
        run 2 "$1" "$wrong"
        [ ! -s "$out" ] || fail "$wrong: something on stdout"
        [ "$(wc -l <"$err")" -eq 1 ] || fail "$wrong: not one line"
        grep -qF -e "\"$wrong\"" "$err" || fail "$wrong: it is not named"
    done
}

alone() { # PROGRAM OWN_SYMBOL FOREIGN_SYMBOLS
    "$nm" "$1" | grep -qw "$2" || fail "$1: no symbols to look at"
    if "$nm" "$1" | awk '{ print $NF }' | grep -E "^($3)"; then
        fail "$1: more of the toolkit than it needs"
    fi
    if ldd "$1" | grep -E 'uring|gopool|netpoll\.so'; then
        fail "$1: libraries it does not need"
    fi
}

flags "$cache"
alone "$cache" mcache_alloc 'linkbuffer_|lb_|gopool_|gp_|netpoll_|np_|flags?_'
run 0 "$cache"
[ ! -s "$err" ] || fail 'something on stderr'
line 'classes: .* 100 -> 128, 128 -> 128, 129 -> 256, 1048576 -> 1048576, .* 10 with room for 5000 -> 8192'
line 'zeroed: +4000 of 4000 bytes are 0, in the very block .*; a product that wraps: Cannot allocate memory'
line 'aligned: +(([0-9]+): address mod \2 = 0, ){4}48: Invalid argument'
line 'growth: +70 bytes to 128 in place: yes; realloc to 110 stayed, to 1000 moved, to 5 has 16 bytes; .* kept'
line 'threads: +1000 .* live bytes 1024000 -> 0; as many again take 0 bytes more of the system'
line 'decay: +64 MiB used and freed, 6[0-9] MiB retained \(limit 256\), [67][0-9] MiB .* [0-9]+ ms \(age 50\)'
line 'trim: +after another burst [67][0-9] MiB .*, 0 bytes retained'
line 'figures: .* 128: [0-9]+ [0-9]+, .* larger: 2 2; 0 bytes live, 0 bad frees'

none=0
few=3
small=64
if [ "$hostile" -eq 1 ]; then
    none='[0-9]+' few='[0-9]+' small='[0-9]+'
fi
flags "$buffer"
alone "$buffer" linkbuffer_create 'gopool_|gp_|netpoll_|np_|flags?_'
run 0 "$buffer"
[ ! -s "$err" ] || fail 'something on stderr'
line 'write: +readable before the flush 0 bytes, after it 13; next shows "hello, buffer"; .* release 0'
line 'reserve: +100 bytes reserved, 18 committed: "formatted in place"'
line "peek: +8 bytes in one window: $none copied; 11 in two: $few copied: \"two windows\"; still readable 11"
line 'until .;.: "first;" "second;" and without one "rest"'
line 'integers: +0x01020304 begins with byte 1; 0x0506'
line 'append: +readable in the source 0 bytes, in the destination 25: "appended:, without a copy"'
line "slice: +after the end of its source: \"a life of its own\"; $none bytes copied"
[ "$hostile" -eq 1 ] || line 'write_ref: next shows the very same address: yes; released 0 times, after release 1'
line 'direct: .*: "head \[the caller.s memory\]tail"; released 2 times'
line 'iov: +[0-9]+ pieces: .*'
line 'pipe: +drained 14 bytes in one write, filled 14 in one read, [0-9]+ held: "through a pipe"'
line 'pull: +8 wanted, 9 came; 100 wanted, 18 when the source ended: "a source in pieces"'
line "settle: +10 bytes unread hold [0-9]+ bytes, then $small: \"\\.{10}\""
line "copies: +1000000 bytes written in place and shown, $none copied"
line 'memory: +0 bytes live at the end'
