/**
 * Watches: descriptors of other kinds on a poller, signalfd(2), a resolver's or a database client's
 * socket for example.
 *
 * As poll(2): an event that was asked for is told again and again, as long as it is so. Hang-up and
 * error are told whatever was asked for: with such an event each time, without one only once. Then
 * nothing is told until netpoll_watch_set() asks for something.
 *
 * A descriptor has at most one watch; dup(2) makes another one of it. A second watch of the same is
 * not refused, and may be told NETPOLL_WATCH_ERROR instead of what happens.
 *
 * Threads: any thread, unless a call says otherwise. Errors: 0 or a negative errno value.
 * fork(2): in the child, calls on the parent's watches return -EPERM, or do nothing.
 */
#ifndef NETPOLL_WATCH_H
#define NETPOLL_WATCH_H

#include <netpoll/export.h>

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct netpoll_runtime;
struct netpoll_watch;

/** Events, or-ed. */
enum netpoll_watch_event {
    NETPOLL_WATCH_READABLE = 1,
    NETPOLL_WATCH_WRITABLE = 2,
    NETPOLL_WATCH_HANGUP = 4, /**< told only: the other side is gone */
    NETPOLL_WATCH_ERROR = 8,  /**< told only: of the descriptor, or it cannot be watched, which the
                                   log then explains */
};

/**
 * Deals with what has happened.
 *
 * @param events  of enum netpoll_watch_event, at least one
 *
 * A panic in it is contained and logged, and nothing more is told until netpoll_watch_set().
 *
 * Thread: a poller, one call at a time. It must not block.
 */
typedef void netpoll_watch_fn(struct netpoll_watch *watch, uint32_t events, void *arg);

/**
 * A watch has ended. A panic in it is contained and logged.
 *
 * Thread: the watch's poller. It must not block.
 */
typedef void netpoll_watch_closed_fn(void *arg);

/**
 * Watches a descriptor.
 *
 * On a poller of the runtime that poller watches it; elsewhere the pollers take turns.
 *
 * @param fd      borrowed until the watch has ended; best one that does not block
 * @param events  READABLE, WRITABLE, both or, for now, none
 * @param out     the watch, NULL on failure
 * @return 0; -EINVAL without fn or for other events; -EBADF; -EPERM when epoll(7) cannot watch such
 *         a descriptor, a regular file for example, and in a child of fork(2); -EMFILE, -ENFILE;
 *         -ENOMEM
 *
 * Memory: the caller owns the watch and ends it with netpoll_watch_close();
 * netpoll_runtime_destroy() returns -EBUSY before.
 */
NETPOLL_API NETPOLL_MUST_CHECK int netpoll_watch_open(struct netpoll_runtime *runtime, int fd,
                                                      uint32_t events, netpoll_watch_fn *fn,
                                                      void *arg, struct netpoll_watch **out);

/**
 * Says what is to be told from now on; on another thread than the watch's poller, a call that runs
 * or is about to may still tell the old.
 *
 * @return 0; -EINVAL for events other than READABLE and WRITABLE; -EPERM in a child of fork(2)
 */
NETPOLL_API NETPOLL_MUST_CHECK int netpoll_watch_set(struct netpoll_watch *watch, uint32_t events);

/**
 * Ends a watch; also from inside fn. From here on the caller does not use it any more.
 *
 * @param closed  called once when neither the kernel nor a poller refers to the descriptor or the
 *                watch: only then may the descriptor be closed. NULL: the caller need not know
 * @param arg     handed to closed
 */
NETPOLL_API void netpoll_watch_close(struct netpoll_watch *watch, netpoll_watch_closed_fn *closed,
                                     void *arg);

/**
 * Ends a watch and waits until the descriptor may be closed.
 *
 * @return 0; -EDEADLK on a poller of the runtime, -EPERM in a child of fork(2), and nothing has
 *         ended
 */
NETPOLL_API NETPOLL_MUST_CHECK int netpoll_watch_close_wait(struct netpoll_watch *watch);

#ifdef __cplusplus
}
#endif

#endif
