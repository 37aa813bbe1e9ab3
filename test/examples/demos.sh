#!/bin/sh
# demos.sh NM HOSTILE CACHE_DEMO BUFFER_DEMO POOL_DEMO: what the demos of single modules say, and that
# nothing else of the toolkit is in them. HOSTILE is 1 where buffers copy whatever they may.
set -eu
nm=$1 hostile=$2 cache=$3 buffer=$4 pool=$5
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
line 'decay: +64 MiB used and freed, 64 MiB retained \(limit 256\), (64|7[2-6]) MiB .* ([5-9][0-9]|[0-9]{3,}) ms \(age 50\)'
line 'trim: +after another burst (64|72) MiB .*, 0 bytes retained'
line 'figures: .* 128: [0-9]+ [0-9]+, .* larger: 2 2; 0 bytes live, 0 bad frees'

none=0
few=3
small=64
least=64
large=65472
pieces=3
block=1984
offer=4032
seen=yes
if [ "$hostile" -eq 1 ]; then
    none='[0-9]+' few='[0-9]+' small=16 least=10
    large=60000 pieces=188 block=1000 offer=16 seen=no
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
line "write_ref: next shows the very same address: $seen; released 0 times, after release 1"
line 'direct: .*: "head \[the caller.s memory\]tail"; released 2 times'
line "adopt: +\"that\" of a block of $block bytes, shown where it lies: $seen; block shared: yes, after release: no"
line 'iov: +2 pieces: "as it" " lies"'
line "pipe: +drained 14 bytes, filled 14; held $small and a header of 64: \"through a pipe\""
line "need: +3000 bytes came in $pieces reads and are shown in one piece, $none copied"
line "input: +$offer bytes offered to a receiver, 7 unread; read copies 7 of 16 wanted: \"it came\""
line 'pull: +8 wanted, 9 came; 100 wanted, 18 when the source ended: "a source in pieces"'
line "settle: +10 bytes unread hold $large, then $least, without headers of 64: \"\\.{10}\""
line "threads: +1000 of 1000 messages of 1000 bytes as written, no lock, $none bytes copied"
line 'memory: +0 bytes live at the end'

source=$(dirname "$0")/../../examples/pool_demo.c
raised=$(grep -n 'gopool_panic("packet' "$source" | cut -d : -f 1)
flags "$pool"
alone "$pool" gopool_create 'linkbuffer_|lb_|netpoll_|np_|flags?_'
run 0 "$pool"
[ ! -s "$err" ] || fail 'something on stderr'
line "panic: +\"packet 3 is cut off\" in parse\(\), pool_demo.c:$raised, [1-9][0-9]* frames; .* released buffer connection; 4 of 5 .* same worker"
line 'handler: +.* "demo" told of 1 panic, .* of 2: .* returned -ECANCELED'
line 'exit_task: .* released buffer; 0 panics'
line 'results: +.* 0: 40 \+ 2 = 42; .* panic -ECANCELED; .* early -ETIMEDOUT; .* own pool -EDEADLK'
line 'batch: +1000 nonblocking tasks by one submit, run in its order'
line 'drain: +.* 5 ms: -ETIMEDOUT; .*: 0'
line 'reject: +behind 2 tasks .* -EAGAIN; the task never ran'
line 'block: +gopool_go\(\) returned when the worker had gone on; the task ran'
line 'caller: +.* on the submitting thread'
line 'blocking: +cap 1, .*: 2 workers, 1 of them blocked; a second .* -EAGAIN'
line 'growth: +[0-9]+ workers at once, .* waited for [1-9][0-9]*\.[0-9] ms .*'
line 'set_cap: .*; 1: all end with their tasks but 1'
line 'watchdog: +watched-1 .* for ([2-9][0-9]|[0-9]{3,}) ms \(limit 20\), now [1-9][0-9]* frames deep'
line 'stop: +0 workers left; gopool_go\(\) -ESHUTDOWN'
line 'figures: +submitted 1014, finished 1014, .* panic 3; queued 0, .* full 0, stuck 0; cap 1'
lines=19
if grep -q '^fault: *would end the process' "$out"; then
    line 'fault: +would end the process here, -ENOTSUP: .+'
    lines=16
else
    line 'fault: +"SIGSEGV at address 0x0", [1-9][0-9]* frames; .* another worker .*'
    line 'gopool: SIGSEGV is fatal: it is in a critical section, or in no task'
    line 'critical: .* by SIGSEGV'
    line 'budget: +5 faults in 60 s, .*: -EALREADY'
fi
[ "$(wc -l <"$out")" -eq $lines ] || fail "not $lines lines"
