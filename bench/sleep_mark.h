/** The byte of a payload that sends a handler of sleep_server to sleep. */
#ifndef BENCH_SLEEP_MARK_H
#define BENCH_SLEEP_MARK_H

/** Where it is: behind the stamp. */
#define SLEEP_MARK_OFFSET 8
/** Its value when the handler is to sleep; otherwise anything else. */
#define SLEEP_MARK 1
/** How long, in milliseconds. */
#define SLEEP_MS 5

#endif
