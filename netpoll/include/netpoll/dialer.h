/**
 * A dialer: makes connections to others and owns them as a server owns those it accepts.
 *
 * Addresses. "HOST:PORT", "[::1]:PORT", "unix:PATH" or "unix:@NAME" (abstract). HOST is a numeric
 * address, or a name of letters, digits, '-', '_' and '.'; "localhost" and an empty HOST are the
 * two loopback addresses, without a lookup. "tcp4:" and "tcp6:" before a HOST take only its
 * addresses of that family.
 *
 * Names are looked up by getaddrinfo(3) on threads of the runtime's own. At most
 * NETPOLL_LOOKUPS_MAX lookups wait for one. A lookup that has begun goes on when its dial has
 * ended, and netpoll_runtime_destroy() waits for it.
 *
 * Several addresses of a name are tried as by RFC 8305: families in turn, the next one when the one
 * before has failed or fallback_ms have passed; the first that connects wins.
 *
 * Threads: any thread, unless a call says otherwise. Errors: 0 or a negative errno value.
 */
#ifndef NETPOLL_DIALER_H
#define NETPOLL_DIALER_H

#include <netpoll/conn.h>
#include <netpoll/conn_options.h>
#include <netpoll/export.h>
#include <netpoll/runtime.h>

#ifdef __cplusplus
extern "C" {
#endif

struct netpoll_dialer;
struct netpoll_dial;

/** Default of timeout_ms. */
#define NETPOLL_DIAL_TIMEOUT_MS_DEFAULT 3000
/** Default of fallback_ms. */
#define NETPOLL_DIAL_FALLBACK_MS_DEFAULT 250
/** Default of resolver_threads. */
#define NETPOLL_RESOLVER_THREADS_DEFAULT 2
/** Largest resolver_threads. */
#define NETPOLL_RESOLVER_THREADS_MAX 64
/** Lookups of a runtime that may wait for a thread. */
#define NETPOLL_LOOKUPS_MAX 256
/** Addresses of a name that are tried. */
#define NETPOLL_DIAL_ADDRESSES_MAX 16

/** Zero is the default of every field. */
struct netpoll_dialer_options {
    /** Of a dial that brings none of its own, its lookup included. 0: 3,000;
     * NETPOLL_TIMEOUT_NONE: none but the system's */
    int64_t timeout_ms;
    /** Head start of an address before the next one of the name is tried as well. 0: 250;
     * NETPOLL_TIMEOUT_NONE: the next one is only tried when those before have failed */
    int64_t fallback_ms;
    /** Numeric address to dial TCP from, "HOST:PORT" with PORT 0 for a free one; copied. Addresses
     * of the other family are then not tried. NULL: the system's choice */
    const char *local;
    /** Threads for lookups. The dialers of a runtime share them: the largest number counts. 0: 2 */
    uint32_t resolver_threads;
    /** TCP fast open, see TCP_FASTOPEN_CONNECT in tcp(7): to a peer that is known to take part the
     * first flush goes with the SYN. The connection is then there before the peer has answered,
     * and a refusal resets it. */
    bool fast_open;
    uint32_t reserved[8]; /**< must be zero */
};

/**
 * Creates a dialer.
 *
 * @param runtime  borrowed until netpoll_dialer_destroy()
 * @param conn     what becomes of its connections; copied. on_request may be NULL: then whoever
 *                 holds a connection reads it by netpoll_conn_wait() and netpoll_conn_next()
 * @param options  copied; NULL: all defaults
 * @param out      the dialer, NULL on failure
 * @return 0; -EINVAL when local is no numeric address, there are too many resolver_threads, a
 *         timeout is out of range or a reserved field is set, and as netpoll_server_create() for
 *         conn; -EPERM in a child of fork(2); -ENOMEM
 *
 * Memory: the caller owns the dialer and ends it with netpoll_dialer_destroy(), before the
 *         runtime.
 */
NETPOLL_API NETPOLL_MUST_CHECK int
netpoll_dialer_create(struct netpoll_runtime *runtime, const struct netpoll_conn_options *conn,
                      const struct netpoll_dialer_options *options, struct netpoll_dialer **out);

/**
 * Connects and waits until that has come about or failed.
 *
 * @param timeout_ms  from now on; 0: the options'; NETPOLL_TIMEOUT_NONE: none but the system's
 * @param out         the connection, NULL on failure
 * @return 0; -ETIMEDOUT; -ECONNREFUSED; -ENETUNREACH, -EHOSTUNREACH, -EADDRNOTAVAIL (no local port
 *         is free, or local is not an address of this host), -ENOENT, -EMFILE ... as the system
 *         says; NETPOLL_UNKNOWN_NAME; NETPOLL_NAME_FAILED when the name servers cannot tell now;
 *         -ECONNABORTED when on_prepare refuses; -EINVAL for an address that cannot be parsed or a
 *         timeout out of range; -EAGAIN when NETPOLL_LOOKUPS_MAX lookups wait, or so many workers
 *         of the pool wait that no further one may, see gopool_options.max_blocked; -ESHUTDOWN
 *         after netpoll_dialer_shutdown(), also when that comes meanwhile; -EDEADLK on a poller of
 *         the runtime; -EPERM in a child of fork(2); -ENOMEM. When several addresses fail, the
 *         error of the first that could be reached.
 *
 * Thread: not a poller of the runtime. On a worker of the pool another one takes its place.
 * Memory: *out is retained for the caller: netpoll_conn_release().
 */
NETPOLL_API NETPOLL_MUST_CHECK int netpoll_dialer_dial(struct netpoll_dialer *dialer,
                                                       const char *address, int64_t timeout_ms,
                                                       struct netpoll_conn **out);

/**
 * Takes what a dial has come to.
 *
 * @param conn    the connection, retained for the callee: netpoll_conn_release(). Its callbacks may
 *                already run; a function that is posted to it may set its data. NULL on failure
 * @param status  0; otherwise as netpoll_dialer_dial(); -ECANCELED after netpoll_dial_cancel()
 *
 * A panic in it is contained and closes the connection.
 *
 * Thread: a poller of the runtime, so it must not block; never inside netpoll_dialer_start().
 */
typedef void netpoll_dialed_fn(struct netpoll_conn *conn, int status, void *arg);

/**
 * Begins to connect.
 *
 * @param timeout_ms  as for netpoll_dialer_dial()
 * @param fn          called exactly once if this returns 0, otherwise never
 * @param out         to cancel it by, to be ended by netpoll_dial_release(); NULL on failure. May
 *                    be NULL
 * @return 0; -EINVAL, also without fn; -ESHUTDOWN; -EPERM; -ENOMEM. What else netpoll_dialer_dial()
 *         may return is told to fn
 */
NETPOLL_API NETPOLL_MUST_CHECK int netpoll_dialer_start(struct netpoll_dialer *dialer,
                                                        const char *address, int64_t timeout_ms,
                                                        netpoll_dialed_fn *fn, void *arg,
                                                        struct netpoll_dial **out);

/**
 * Calls a dial off.
 *
 * @return 1: its fn gets -ECANCELED, also when called again; 0: too late, its fn has been or is
 *         being told what the dial came to, which may be a connection; -EPERM in a child of fork(2)
 *
 * Thread: any that has the handle, also in fn and after the end of the dialer.
 */
NETPOLL_API int netpoll_dial_cancel(struct netpoll_dial *dial);

/** Ends the handle, not the dial. NULL does nothing. */
NETPOLL_API void netpoll_dial_release(struct netpoll_dial *dial);

/**
 * Makes a connection of a connected stream socket.
 *
 * @param fd   taken on success: made non-blocking and close-on-exec, with the socket options of the
 *             dialer's connections. On failure it stays the caller's, with the flags it had
 * @param out  the connection, NULL on failure. May be NULL
 * @return 0; -EBADF; -ENOTSOCK; -EPROTOTYPE when it is no stream socket; -EAFNOSUPPORT when it
 *         is neither of TCP nor of AF_UNIX; -ENOTCONN when it is not connected; -ECONNABORTED when
 * on_prepare refuses; -ESHUTDOWN; -EPERM in a child of fork(2); -ENOMEM
 *
 * Memory: *out is retained for the caller: netpoll_conn_release().
 */
NETPOLL_API NETPOLL_MUST_CHECK int netpoll_dialer_adopt(struct netpoll_dialer *dialer, int fd,
                                                        struct netpoll_conn **out);

/**
 * Ends running dials with -ESHUTDOWN, waits until their functions have returned, and then ends the
 * connections as netpoll_server_shutdown() does.
 *
 * @return as netpoll_server_shutdown()
 *
 * Thread: neither a poller nor a handler of this runtime: -EDEADLK.
 */
NETPOLL_API NETPOLL_MUST_CHECK int netpoll_dialer_shutdown(struct netpoll_dialer *dialer,
                                                           int64_t timeout_ms);

/**
 * Shuts the dialer down with a deadline of 0 if that has not been done, and frees it.
 *
 * @param dialer  NULL does nothing
 * @return 0; -EDEADLK as netpoll_dialer_shutdown(), -EPERM in a child of fork(2): nothing freed
 */
NETPOLL_API NETPOLL_MUST_CHECK int netpoll_dialer_destroy(struct netpoll_dialer *dialer);

#ifdef __cplusplus
}
#endif

#endif
