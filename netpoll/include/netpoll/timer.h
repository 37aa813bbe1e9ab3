/**
 * Timers of a runtime: a function that runs once after a time, or again and again.
 *
 * A timer lives on one poller, in a wheel with a tick of a millisecond: it runs in the tick of its
 * time or later, never before. Those of one tick run in no particular order. Starting and
 * cancelling cost the same however many there are; a timer takes 128 bytes.
 *
 * When very many are due at once, a poller runs some thousand at a time and looks at its
 * descriptors in between.
 *
 * Threads: any thread, unless a call says otherwise; only netpoll_timer_release() may be called
 * while netpoll_runtime_destroy() runs. Errors: 0 or a negative errno value.
 * The end of the runtime: timers that have not run are dropped; their handles stay valid.
 * fork(2): in the child, calls on timers that were not over return -EPERM.
 */
#ifndef NETPOLL_TIMER_H
#define NETPOLL_TIMER_H

#include <netpoll/export.h>

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct netpoll_runtime;
struct netpoll_timer;

/**
 * What a timer runs. It may start, cancel and release timers, its own among them. A panic in it is
 * contained and logged; a periodic timer goes on.
 *
 * Thread: a poller of the runtime. It must not block.
 */
typedef void netpoll_timer_fn(struct netpoll_timer *timer, void *arg);

/**
 * Starts a timer that runs once.
 *
 * On a poller of the runtime the timer belongs to that poller, so that its callbacks and those of
 * the connections there never run at the same time; elsewhere the pollers take turns.
 *
 * @param after_ms  milliseconds from now; 0: as soon as possible, but not from here
 * @param out       the timer, NULL on failure
 * @return 0; -EINVAL without fn or for a negative time or one above NETPOLL_TIMEOUT_MS_MAX;
 *         -ENOMEM; -EPERM in a child of fork(2)
 *
 * Memory: the caller owns the handle and gives it back with netpoll_timer_release(), which does not
 * stop the timer.
 */
NETPOLL_API NETPOLL_MUST_CHECK int netpoll_timer_after(struct netpoll_runtime *runtime,
                                                       int64_t after_ms, netpoll_timer_fn *fn,
                                                       void *arg, struct netpoll_timer **out);

/**
 * Starts a timer that runs every period_ms, for the first time after that. Times that were missed
 * are not made up for: it runs once when it is late, and keeps its phase.
 *
 * @param period_ms  at least 1; otherwise as netpoll_timer_after()
 */
NETPOLL_API NETPOLL_MUST_CHECK int netpoll_timer_every(struct netpoll_runtime *runtime,
                                                       int64_t period_ms, netpoll_timer_fn *fn,
                                                       void *arg, struct netpoll_timer **out);

/**
 * Sees to it that a timer does not run any more.
 *
 * @return 1 when this call has taken a run away: fn will not start again, though a periodic one may
 *         be running; 0 when there was none to take: it runs for the last time, has run, was
 *         cancelled before, or its runtime has ended; -EPERM in a child of fork(2)
 */
NETPOLL_API int netpoll_timer_cancel(struct netpoll_timer *timer);

/**
 * Cancels, and waits until fn does not run.
 *
 * @return as netpoll_timer_cancel(); -EDEADLK on a poller of the runtime, and nothing is cancelled
 */
NETPOLL_API int netpoll_timer_cancel_wait(struct netpoll_timer *timer);

/** Gives the handle back. NULL does nothing. */
NETPOLL_API void netpoll_timer_release(struct netpoll_timer *timer);

#ifdef __cplusplus
}
#endif

#endif
