/**
 * A runtime: the poller threads, the backend they use, and the pool that handlers run on.
 *
 * Several runtimes may exist; they share nothing but the process-wide memory pools.
 *
 * Threads: any thread, unless a call says otherwise. Errors: 0 or a negative errno value.
 * fork(2): the parent's runtimes have no threads in the child, which may make its own. There a call
 * on one of them or on a server of it returns -EPERM, or 0 where a call counts; the connections'
 * calls must not be made at all.
 */
#ifndef NETPOLL_RUNTIME_H
#define NETPOLL_RUNTIME_H

#include <netpoll/export.h>
#include <netpoll/stats.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct gopool;
struct netpoll_runtime;

/** How the kernel is asked. */
enum netpoll_backend {
    NETPOLL_BACKEND_AUTO =
        0, /**< io_uring where it works, else epoll; see netpoll_runtime_create() */
    NETPOLL_BACKEND_EPOLL = 1,
    NETPOLL_BACKEND_IO_URING = 2,
};

/** How much a line of the log matters; as an option, the least that is told. */
enum netpoll_log_level {
    NETPOLL_LOG_DEFAULT = 0, /**< as an option: NETPOLL_LOG_WARNING */
    NETPOLL_LOG_ERROR = 1,   /**< something was lost, a connection for example */
    NETPOLL_LOG_WARNING = 2, /**< it works, but not as well as it could */
    NETPOLL_LOG_INFO = 3,    /**< the backend, addresses that are listened on, shutdowns */
    NETPOLL_LOG_DEBUG = 4,   /**< every connection that opens and closes */
};

/** Default of log_rate. */
#define NETPOLL_LOG_RATE_DEFAULT 10
/** Default of log_burst. */
#define NETPOLL_LOG_BURST_DEFAULT 20
/** Largest log_rate. */
#define NETPOLL_LOG_RATE_MAX 1000000
/** As log_rate: no limit. */
#define NETPOLL_LOG_RATE_NONE UINT32_MAX

/**
 * Takes one line of the log.
 *
 * @param level    never NETPOLL_LOG_DEFAULT
 * @param message  no newline; borrowed until the call returns
 *
 * A panic in it is contained, and the line then goes to stderr.
 *
 * Thread: any thread, also at the same time. It must not block for long.
 */
typedef void netpoll_log_fn(enum netpoll_log_level level, const char *message, void *arg);

/** Zero is the default of every field. */
struct netpoll_runtime_options {
    enum netpoll_backend backend; /**< NETPOLL_BACKEND_AUTO */
    uint32_t pollers;             /**< poller threads; 0: one per CPU allowed; at most 256 */
    /**
     * Borrowed until destroy, and not to be stopped before; what it does when it is full is for
     * others: connections wait until it takes them. NULL: the runtime makes its own
     */
    struct gopool *pool;
    netpoll_log_fn *log;              /**< NULL: one line on stderr */
    void *log_arg;                    /**< handed to log */
    enum netpoll_log_level log_level; /**< NETPOLL_LOG_WARNING */
    /**
     * Lines a second of each level. Those beyond are suppressed, which costs neither memory nor a
     * wait, and told as a number about a second later. Metric: netpoll_stats.log_suppressed.
     * 0: 10; NETPOLL_LOG_RATE_NONE: no limit
     */
    uint32_t log_rate;
    uint32_t log_burst;            /**< lines of a level that may come at once. 0: 20 */
    bool disable_batch_scheduling; /**< false: pollers ask for SCHED_BATCH, see sched(7) */
    /**
     * io_uring: after so many milliseconds without input, up to a quarter more, a connection's
     * receive makes way for something that costs the kernel about 400 bytes less; the next input
     * costs a system call more. For many connections that rest most of the time. 0: never
     */
    uint32_t demote_idle_ms;
    uint32_t reserved[4]; /**< must be zero */
};

/**
 * Creates a runtime and starts its pollers.
 *
 * With NETPOLL_BACKEND_AUTO the environment variable NETPOLL_BACKEND (auto, io_uring, epoll)
 * decides when it is set; io_uring is used when it is found to work, otherwise epoll, with one
 * line of log that gives the reason.
 *
 * @param options  borrowed; NULL: all defaults
 * @param out      the runtime, NULL on failure
 * @return 0; -EINVAL for an unknown backend (also in NETPOLL_BACKEND) or log level, too many
 *         pollers, a log_rate above NETPOLL_LOG_RATE_MAX other than NETPOLL_LOG_RATE_NONE, a
 *         demote_idle_ms above NETPOLL_TIMEOUT_MS_MAX, or a reserved field set; -ENOTSUP when
 *         io_uring was asked for and does not work (the reason is logged); -ENOMEM, -EMFILE,
 *         -EAGAIN as the system says
 *
 * Memory: the caller owns the runtime and ends it with netpoll_runtime_destroy().
 */
NETPOLL_API NETPOLL_MUST_CHECK int
netpoll_runtime_create(const struct netpoll_runtime_options *options, struct netpoll_runtime **out);

/**
 * Ends the pollers, the pool if it is the runtime's own, and frees everything.
 *
 * @return 0; -EBUSY while a server, dialer or watch of it exists; -EDEADLK on one of its own
 * threads
 *
 * @param runtime  NULL does nothing
 */
NETPOLL_API NETPOLL_MUST_CHECK int netpoll_runtime_destroy(struct netpoll_runtime *runtime);

/** Which backend runs, and why. */
struct netpoll_backend_info {
    const char *name;   /**< "epoll" or "io_uring" */
    const char *reason; /**< why this one; lives as long as the runtime */
};

/** Reads which backend the runtime uses. */
NETPOLL_API void netpoll_runtime_backend(const struct netpoll_runtime *runtime,
                                         struct netpoll_backend_info *out);

/** Number of poller threads. */
NETPOLL_API NETPOLL_MUST_CHECK uint32_t
netpoll_runtime_pollers(const struct netpoll_runtime *runtime);

/**
 * Tells lines of this level and of those that matter more, from now on.
 *
 * @return 0; -EINVAL for an unknown level
 */
NETPOLL_API NETPOLL_MUST_CHECK int netpoll_runtime_set_log_level(struct netpoll_runtime *runtime,
                                                                 enum netpoll_log_level level);

/**
 * One line of the runtime's log, for layers on top of it: at most about 500 bytes.
 *
 * Above the level, or beyond log_rate, it costs neither a format nor memory nor a wait.
 *
 * @param level   not NETPOLL_LOG_DEFAULT, which is NETPOLL_LOG_WARNING
 * @param format  as printf(3); no newline
 */
NETPOLL_API void netpoll_runtime_log(struct netpoll_runtime *runtime, enum netpoll_log_level level,
                                     const char *format, ...) __attribute__((format(printf, 3, 4)));

/** Whether the calling thread is one of the runtime's pollers, which must not block. */
NETPOLL_API NETPOLL_MUST_CHECK bool
netpoll_runtime_is_poller(const struct netpoll_runtime *runtime);

/** The pool that handlers run on. Memory: borrowed until the runtime is destroyed. */
NETPOLL_API NETPOLL_MUST_CHECK struct gopool *
netpoll_runtime_pool(const struct netpoll_runtime *runtime);

#ifdef __cplusplus
}
#endif

#endif
