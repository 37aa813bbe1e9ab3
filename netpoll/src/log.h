/*
 * The log of a runtime: levels, a limit on lines, and whom they are told. Any thread.
 */
#ifndef NP_LOG_H
#define NP_LOG_H

#include "poller.h"

#include <gopool/panic.h>
#include <netpoll/runtime.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define NP_LOG_LEVELS 5

/*
 * A token bucket in one word, the theoretical time of arrival: a line takes one interval from the
 * later of that time and now, and is kept back when this goes beyond now by more than the burst.
 */
struct np_log_limit {
    _Atomic uint64_t arrival_ns;
    _Atomic uint64_t suppressed; /* lines kept back since the start */
    uint64_t told;               /* of those; by whoever owns the notice */
};

struct np_log {
    netpoll_log_fn *fn; /* NULL: stderr */
    void *arg;
    _Atomic int level;                         /* enum netpoll_log_level: no line above it */
    uint64_t interval_ns;                      /* a line's share of time; 0: no limit */
    uint64_t burst_ns;                         /* what the arrival may be ahead of now */
    struct np_log_limit limits[NP_LOG_LEVELS]; /* so that no level hides another one */
    /* Owns the notice of suppressed lines: its work, its timer and what was told. */
    _Atomic bool notice_due;
    struct np_work notice_work;
    struct np_timer notice_timer;
    bool pollers_run; /* written while no other thread has the runtime */
};

/* Checks the log's options and takes them: 0 or -EINVAL. */
int np_log_init(struct np_log *log, const struct netpoll_runtime_options *options);
/* No poller runs any more: tells what was suppressed and not told. */
void np_log_settle(struct netpoll_runtime *runtime);
/* Lines kept back since the start. */
uint64_t np_log_suppressed(const struct netpoll_runtime *runtime);

/*
 * One line. Above the level, or beyond the limit, it costs neither a format nor memory nor a wait.
 */
void np_log(struct netpoll_runtime *runtime, enum netpoll_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same at level ERROR, with the word for a negative errno value behind it. */
void np_log_error(struct netpoll_runtime *runtime, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same, with the panic's message and place behind it. */
void np_log_panic(struct netpoll_runtime *runtime, const struct gopool_panic *panic,
                  const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
