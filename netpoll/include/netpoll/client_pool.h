/**
 * Connections to many addresses, kept for the next one who needs them.
 *
 * A connection is got, used by whoever got it, and put back; every get that succeeds is followed by
 * one put. An idle one is handed out again only if it is open, the peer has not closed its side,
 * and nothing is unread; of those the one that was put back last. An idle connection whose peer
 * hangs up is closed and forgotten at once; a peer may still hang up just when a connection is
 * handed out, so a request on one that has been used before may fail for that reason, see
 * netpoll_client_pool_is_reused().
 *
 * Addresses are told apart by their text.
 *
 * Threads: any thread, unless a call says otherwise. No lock is held while a connection is dialed
 * or a function of the user's runs. Errors: 0 or a negative errno value.
 */
#ifndef NETPOLL_CLIENT_POOL_H
#define NETPOLL_CLIENT_POOL_H

#include <netpoll/dialer.h>
#include <netpoll/export.h>

#ifdef __cplusplus
extern "C" {
#endif

struct netpoll_client_pool;

/** Default of max_idle_per_address. */
#define NETPOLL_CLIENT_IDLE_PER_ADDRESS_DEFAULT 16
/** Default of max_idle. */
#define NETPOLL_CLIENT_IDLE_DEFAULT 1024
/** Default of idle_timeout_ms. */
#define NETPOLL_CLIENT_IDLE_TIMEOUT_MS_DEFAULT 60000

/** Zero is the default of every field. */
struct netpoll_client_pool_options {
    /** Idle connections to one address: one more closes the one that has been idle for longest. 0:
     * 16. Metric: netpoll_client_pool_stats.evicted */
    uint32_t max_idle_per_address;
    /** Idle connections to all addresses, likewise. 0: 1,024. Metric: likewise */
    uint32_t max_idle;
    /** Connections to one address: idle, handed out, being dialed or being closed. 0: no limit.
     * Metric: netpoll_client_pool_stats.full */
    uint32_t max_per_address;
    /** How long a get waits for another one's put when there are max_per_address; then -ETIMEDOUT.
     * 0: it does not, but gives -EAGAIN; NETPOLL_TIMEOUT_NONE: as long as it takes */
    int64_t wait_timeout_ms;
    /** A connection idle for so long is closed. 0: 60,000; NETPOLL_TIMEOUT_NONE: never. Metric:
     * netpoll_client_pool_stats.idle_timeouts */
    int64_t idle_timeout_ms;
    /** A connection this old is not handed out again: it is closed when it is put back or would be
     * handed out. 0 or NETPOLL_TIMEOUT_NONE: any age will do. Metric:
     * netpoll_client_pool_stats.too_old */
    int64_t max_age_ms;
    uint32_t reserved[8]; /**< must be zero */
};

/**
 * Creates a pool without connections.
 *
 * @param dialer   makes the connections; borrowed until netpoll_client_pool_destroy()
 * @param options  copied; NULL: all defaults
 * @param out      the pool, NULL on failure
 * @return 0; -EINVAL when a timeout is out of range or a reserved field is set; -EPERM in a child
 *         of fork(2); -ENOMEM
 *
 * Memory: the caller owns the pool and ends it with netpoll_client_pool_destroy(), before the
 *         dialer.
 */
NETPOLL_API NETPOLL_MUST_CHECK int
netpoll_client_pool_create(struct netpoll_dialer *dialer,
                           const struct netpoll_client_pool_options *options,
                           struct netpoll_client_pool **out);

/**
 * Hands out a connection: an idle one, or a new one.
 *
 * @param address     as for netpoll_dialer_dial()
 * @param timeout_ms  of a dial, if one is needed, as for netpoll_dialer_dial(); time that was
 *                    waited for a place does not count
 * @param out         the connection, NULL on failure
 * @return 0; -EAGAIN when there are max_per_address and it does not wait; -ETIMEDOUT; -ESHUTDOWN
 *         after netpoll_client_pool_stop(), also when that comes while it waits; -EDEADLK on a
 *         poller of the runtime unless an idle one is there; otherwise as netpoll_dialer_dial()
 *
 * Thread: on a worker of the pool another one takes its place while it waits.
 * Memory: *out is retained for the caller until netpoll_client_pool_put().
 */
NETPOLL_API NETPOLL_MUST_CHECK int netpoll_client_pool_get(struct netpoll_client_pool *pool,
                                                           const char *address, int64_t timeout_ms,
                                                           struct netpoll_conn **out);

/**
 * The same without blocking.
 *
 * @param fn  called exactly once if this returns 0, on a poller, never inside this call; otherwise
 *            never. conn is retained for it until netpoll_client_pool_put()
 * @return 0; -EINVAL, also without fn; -EAGAIN when there are max_per_address and it does not wait;
 *         -ESHUTDOWN; -EPERM; -ENOMEM
 */
NETPOLL_API NETPOLL_MUST_CHECK int netpoll_client_pool_start_get(struct netpoll_client_pool *pool,
                                                                 const char *address,
                                                                 int64_t timeout_ms,
                                                                 netpoll_dialed_fn *fn, void *arg);

/**
 * Gives a connection back.
 *
 * @param conn      one that was got from this pool; the caller's handle ends
 * @param reusable  the peer owes nothing and is owed nothing. If not, if something is unread, or if
 *                  the connection has come to its end, it is closed
 * @return 0; -EINVAL when conn is not one that is handed out: nothing has been done
 *
 * Thread: any one that has the right to use the connection.
 */
NETPOLL_API int netpoll_client_pool_put(struct netpoll_client_pool *pool, struct netpoll_conn *conn,
                                        bool reusable);

/** True when a connection that is handed out has been so before: a request that fails before the
 * first byte of an answer may then be tried on another one. */
NETPOLL_API NETPOLL_MUST_CHECK bool netpoll_client_pool_is_reused(struct netpoll_client_pool *pool,
                                                                  const struct netpoll_conn *conn);

/** Figures of a pool. Taken under its lock, so they fit together. */
struct netpoll_client_pool_stats {
    size_t idle;            /**< connections that wait for a get */
    size_t in_use;          /**< handed out */
    size_t dialing;         /**< being dialed */
    size_t waiting;         /**< gets that wait for a place */
    size_t addresses;       /**< that have a connection or a get that waits */
    uint64_t gets;          /**< that were given a connection */
    uint64_t reuses;        /**< of those, an idle one or one that was put back meanwhile */
    uint64_t dials;         /**< begun */
    uint64_t dial_fails;    /**< that came to nothing */
    uint64_t full;          /**< gets that found max_per_address connections */
    uint64_t wait_timeouts; /**< of those, gave up after wait_timeout_ms */
    uint64_t hung_up;       /**< idle ones that ended by themselves, by the peer most of all */
    uint64_t unfit;         /**< idle ones that were not handed out: bytes or an end had come */
    uint64_t idle_timeouts; /**< idle ones closed after idle_timeout_ms */
    uint64_t evicted;       /**< idle ones closed because there were too many */
    uint64_t too_old;       /**< closed because of max_age_ms */
};

/** Reads the figures. */
NETPOLL_API void netpoll_client_pool_stats_read(struct netpoll_client_pool *pool,
                                                struct netpoll_client_pool_stats *out);

/**
 * Closes idle connections and hands out none any more. Gets that wait end with -ESHUTDOWN, those
 * that dial come to their end; what is handed out is closed when it is put back. May be called
 * again.
 */
NETPOLL_API void netpoll_client_pool_stop(struct netpoll_client_pool *pool);

/**
 * Stops the pool if that has not been done, waits until its connections have ended, and frees it.
 *
 * @param pool  NULL does nothing
 * @return 0; -EBUSY while a connection is handed out or a get is under way: it is stopped, nothing
 *         is freed; -EDEADLK on a poller or a handler of the runtime; -EPERM in a child of fork(2)
 *
 * Thread: not a poller, not a handler of the runtime; nobody else uses the pool.
 */
NETPOLL_API NETPOLL_MUST_CHECK int netpoll_client_pool_destroy(struct netpoll_client_pool *pool);

#ifdef __cplusplus
}
#endif

#endif
