/**
 * Figures of a runtime: of one poller, or of all of them.
 *
 * Counts begin at 0 when the runtime is created and only grow; nothing sets them back. Each is
 * exact, but they are not of one instant: another thread may count while they are read.
 *
 * Threads: any thread. Errors: 0 or a negative errno value.
 */
#ifndef NETPOLL_STATS_H
#define NETPOLL_STATS_H

#include <netpoll/conn_options.h>
#include <netpoll/export.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct linkbuffer;
struct netpoll_runtime;

/** Figures of one poller, or the sums of all. */
struct netpoll_stats {
    /* Connections. When nothing happens, accepted + dialed is connections + refused +
     * accept_drops + the sum of closed. */
    uint64_t connections;  /**< open now, or being dialed */
    uint64_t accepted;     /**< taken from listeners; counted by the poller of the listener */
    uint64_t accept_fails; /**< accept errors, descriptor limit among them */
    uint64_t accept_drops; /**< accepted, then closed at once for want of memory */
    uint64_t refused;      /**< accepted, then closed at once by on_prepare or by a limit */
    uint64_t dialed;       /**< connections made by dialers */
    uint64_t dial_fails;   /**< dials that made none */
    uint64_t closed[NETPOLL_CLOSE_REASON_COUNT]; /**< ended, by enum netpoll_close_reason */

    /* What they did. */
    uint64_t requests; /**< calls of on_request */
    uint64_t panics;   /**< callbacks of connections that panicked */
    uint64_t bytes_in;
    uint64_t bytes_out;
    uint64_t receives;        /**< times that bytes came in: calls, or completions */
    uint64_t sends;           /**< times that the kernel took bytes: likewise */
    uint64_t bytes_copied;    /**< of bytes_in, those copied out of the block they came in */
    uint64_t pin_limits;      /**< receives copied because of input_pinned_bytes */
    uint64_t flushes_refused; /**< calls of netpoll_conn_flush() that gave -ENOBUFS */
    uint64_t input_pauses;    /**< receiving stopped because enough was unread */
    uint64_t output_pauses;   /**< receiving stopped because the output was above its high mark */
    uint64_t user_pauses;     /**< receiving stopped by netpoll_conn_pause() */
    uint64_t accept_pauses;   /**< accepting stopped because max_connections were there */

    /* Timeouts that have passed: see struct netpoll_conn_options. */
    uint64_t read_timeouts;
    uint64_t write_timeouts;
    uint64_t idle_timeouts;
    uint64_t request_timeouts;
    uint64_t close_timeouts; /**< closing took too long: what was left was aborted */
    uint64_t dial_timeouts;
    uint64_t wait_timeouts; /**< blocking calls on a connection that gave -ETIMEDOUT */

    /* The poller. */
    uint64_t wakeups;           /**< times it came back from the kernel: rounds of its loop */
    uint64_t posts_woke;        /**< times another thread had to wake it, by a system call */
    uint64_t round_us_sum;      /**< microseconds from there to the end of the round; with inline
                                     handlers what a connection waits for the others */
    uint64_t round_us_max;      /**< the longest round; of all pollers: the longest of any */
    uint64_t buffers_exhausted; /**< io_uring: bytes came and no block was left to receive into */

    /* The runtime: 0 in the figures of one poller. */
    uint64_t log_suppressed; /**< lines that the limit of the log kept back */
};

/** Reads the figures of all pollers, added up; of round_us_max the largest. */
NETPOLL_API void netpoll_runtime_stats_read(const struct netpoll_runtime *runtime,
                                            struct netpoll_stats *out);

/**
 * Reads the figures of one poller.
 *
 * @param index  below netpoll_runtime_pollers()
 * @param out    untouched on failure
 * @return 0; -EINVAL when there is no such poller
 */
NETPOLL_API NETPOLL_MUST_CHECK int
netpoll_runtime_poller_stats_read(const struct netpoll_runtime *runtime, uint32_t index,
                                  struct netpoll_stats *out);

/**
 * Writes the figures for people: a line "NAME VALUE" each, the values in a column.
 *
 * They are the sums over all pollers, then the pool's (gopool_stats_read()) and those of the
 * process's memory (mcache_stats_read()). The names are those of netpoll_stats_prometheus() without
 * "netpoll_" and "_total", and with the value of a second label behind.
 *
 * @param out   cut off where it is full, and then NUL-terminated all the same; may be NULL when
 *              size is 0
 * @param size  bytes of out
 * @return bytes that the whole text has, its NUL not counted, as snprintf(3): when that is not
 * below size the text is cut off, and another call may need a little more; -EPERM in a child of
 *         fork(2)
 */
NETPOLL_API NETPOLL_MUST_CHECK int netpoll_stats_text(const struct netpoll_runtime *runtime,
                                                      char *out, size_t size);

/**
 * Writes the figures for a Prometheus server: its text format 0.0.4, as the answer to a scrape of
 * content type "text/plain; version=0.0.4".
 *
 * Figures of pollers have the label poller; the pool's and the memory's have none. As the latter
 * are the process's, a process with several runtimes gives each a scrape of its own.
 *
 * Parameters and return value as netpoll_stats_text(); also -ENOMEM.
 */
NETPOLL_API NETPOLL_MUST_CHECK int netpoll_stats_prometheus(const struct netpoll_runtime *runtime,
                                                            char *out, size_t size);

/**
 * Appends what netpoll_stats_prometheus() writes to a buffer, which is not flushed.
 *
 * @param into  borrowed
 * @return bytes appended; -ENOMEM or -EPERM: none
 *
 * Thread: writer of the buffer.
 */
NETPOLL_API NETPOLL_MUST_CHECK int
netpoll_stats_write_prometheus(const struct netpoll_runtime *runtime, struct linkbuffer *into);

#ifdef __cplusplus
}
#endif

#endif
