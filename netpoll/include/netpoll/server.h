/**
 * A server: listeners, and the connections they accept.
 *
 * Threads: any thread, unless a call says otherwise. Errors: 0 or a negative errno value.
 */
#ifndef NETPOLL_SERVER_H
#define NETPOLL_SERVER_H

#include <netpoll/conn.h>
#include <netpoll/conn_options.h>
#include <netpoll/export.h>
#include <netpoll/runtime.h>

#ifdef __cplusplus
extern "C" {
#endif

struct netpoll_server;

/** Default of backlog. */
#define NETPOLL_BACKLOG_DEFAULT 1024
/** Default of address_wait_ms. */
#define NETPOLL_ADDRESS_WAIT_MS_DEFAULT 250
/** Default of shutdown_grace_ms. */
#define NETPOLL_SHUTDOWN_GRACE_MS_DEFAULT 200

/** Which poller gets a connection. */
enum netpoll_balancing {
    NETPOLL_BALANCING_LEAST_CONNECTIONS = 0, /**< that has the fewest, of all servers and dialers */
    NETPOLL_BALANCING_ROUND_ROBIN = 1,       /**< each in turn */
    /**
     * Each poller has a listening socket of its own (SO_REUSEPORT) and keeps what it accepts: the
     * kernel distributes by a hash of the addresses. What waits at the socket of a poller that is
     * busy waits, and is reset when the sockets are closed other than by a handover, see
     * netpoll/restart.h. Unix sockets and those of others go by the fewest connections.
     */
    NETPOLL_BALANCING_PER_POLLER = 2,
};

/** What becomes of those who connect while max_connections are there. */
enum netpoll_when_full {
    NETPOLL_WHEN_FULL_WAIT = 0,   /**< they wait in the queue; beyond backlog, for the kernel */
    NETPOLL_WHEN_FULL_REFUSE = 1, /**< accepted and reset at once: netpoll_stats.refused */
};

/** A call about a server. Thread: as its user says. */
typedef void netpoll_server_fn(struct netpoll_server *server, void *arg);

/** Zero is the default of every field. */
struct netpoll_server_options {
    int backlog;                      /**< of listen(2); 0: 1,024 */
    enum netpoll_balancing balancing; /**< NETPOLL_BALANCING_LEAST_CONNECTIONS */
    uint32_t max_connections;         /**< connections at a time. 0: no limit */
    enum netpoll_when_full when_full; /**< NETPOLL_WHEN_FULL_WAIT */
    /**
     * At the limit of descriptors, or without memory, clients wait in the queue until there are
     * some. When this has lasted so long those who wait are accepted and reset, so that they can
     * go elsewhere: netpoll_stats.refused. A descriptor is kept in reserve for that. 0: never
     */
    int64_t shed_after_ms;
    int32_t defer_accept_s;  /**< TCP_DEFER_ACCEPT, see tcp(7): a connection is accepted when its
                                  first bytes have come. 0: at once */
    int32_t fast_open_queue; /**< TCP_FASTOPEN, see tcp(7): clients that may come with their first
                                  bytes at a time. 0: none */
    bool reuse_port;         /**< SO_REUSEPORT, see socket(7): other processes of this user may
                                  listen on the same address */
    bool ip6_only;           /**< IPV6_V6ONLY, see ipv6(7); false: only for "tcp6:" */
    uint32_t unix_mode;      /**< permission bits of socket files, at most 0777. 0: as umask(2) */
    /**
     * How long netpoll_server_listen() tries again while the address is in use. The kernel keeps
     * the sockets of a process on io_uring for some ten milliseconds after its end, so that its
     * successor could come too early. 0: 250; NETPOLL_TIMEOUT_NONE: not at all
     */
    int64_t address_wait_ms;
    /**
     * When the server shuts down: how long a connection on which nothing has come yet is left
     * open, for a client that is just about to send. At most half of the time that the shutdown
     * has. 0: 200; NETPOLL_TIMEOUT_NONE: not at all
     */
    int64_t shutdown_grace_ms;
    /**
     * Called once, by the first netpoll_server_shutdown(), on its thread: nothing is accepted any
     * more, and connections have not been told yet. It may use the server and connections, but
     * not shut down: -EDEADLK. NULL: none
     */
    netpoll_server_fn *on_shutdown;
    void *arg;            /**< handed to on_shutdown */
    uint32_t reserved[6]; /**< must be zero */
};

/**
 * Creates a server without listeners.
 *
 * @param runtime  borrowed until netpoll_server_destroy()
 * @param conn     what becomes of its connections; copied
 * @param options  copied; NULL: all defaults
 * @param out      the server, NULL on failure
 * @return 0; -EINVAL when on_request is missing, an enum is unknown, a number is negative or above
 *         its largest, a timeout other than NETPOLL_TIMEOUT_NONE is negative or above
 *         NETPOLL_TIMEOUT_MS_MAX, a low mark is above its high one, output_high_bytes is above
 *         output_hard_bytes, defaults among them, the framer or the transform lacks something or is
 *         beyond the limits, or a reserved field is set; -EPERM in a child of fork(2); -ENOMEM
 *
 * Memory: the caller owns the server and ends it with netpoll_server_destroy(), before the
 *         runtime.
 */
NETPOLL_API NETPOLL_MUST_CHECK int
netpoll_server_create(struct netpoll_runtime *runtime, const struct netpoll_conn_options *conn,
                      const struct netpoll_server_options *options, struct netpoll_server **out);

/**
 * Listens on one more address.
 *
 * @param address  "HOST:PORT", "[::1]:PORT", "[fe80::1%2]:PORT" with the number of the interface,
 *                 "unix:PATH" or "unix:@NAME" (abstract). HOST is a numeric address, "localhost"
 *                 (127.0.0.1, or ::1 after "tcp6:"), or empty for every address of the host.
 * "tcp4:" or "tcp6:" before it says of which family. PORT 0 takes a free one. An existing socket
 * file at PATH that nobody listens on is replaced.
 * @return 0, also when it has come by netpoll_server_take_over() already; -EINVAL when it cannot be
 *         parsed; -EADDRINUSE after address_wait_ms, -EADDRNOTAVAIL, -EACCES ... as the system
 * says; -ESHUTDOWN after netpoll_server_shutdown(); -EDEADLK on a poller of the runtime. The others
 * stay as they were.
 *
 * Thread: not a poller of this runtime.
 */
NETPOLL_API NETPOLL_MUST_CHECK int netpoll_server_listen(struct netpoll_server *server,
                                                         const char *address);

/**
 * Serves a connected socket of the caller's as if it had been accepted: a TCP or unix stream.
 *
 * @param fd  what has been received on it and not read is the connection's first input
 * @return 0: the server owns fd; otherwise fd is as it was and stays the caller's: -EPROTOTYPE when
 *         it is not a stream, -EAFNOSUPPORT when it is neither TCP nor unix, -ENOTCONN, -ENOTSOCK,
 *         -EBADF; -EBUSY when max_connections are there; -ESHUTDOWN; -ENOMEM; -EPERM in a child
 *         of fork(2)
 */
NETPOLL_API NETPOLL_MUST_CHECK int netpoll_server_adopt(struct netpoll_server *server, int fd);

/** Number of addresses the server listens on. */
NETPOLL_API NETPOLL_MUST_CHECK size_t netpoll_server_listeners(struct netpoll_server *server);

/**
 * Writes the address of a listener, with the port that the system chose, in the form that
 * netpoll_server_listen() takes.
 *
 * @param index  listeners are counted from 0 in the order of netpoll_server_listen()
 * @param out    NUL-terminated
 * @param size   bytes of out; NETPOLL_ADDRESS_BYTES is enough
 * @return 0; -EINVAL when there is no such listener; -ENOSPC when out is too small
 */
NETPOLL_API NETPOLL_MUST_CHECK int netpoll_server_address(struct netpoll_server *server,
                                                          size_t index, char *out, size_t size);

/**
 * Stops accepting; serves what has been accepted and, of its own listeners, what waits; calls
 * on_shutdown; closes idle connections, sends what is queued, and aborts what is left at the
 * deadline. Returns when no connection is left and no callback runs; a handler that does not
 * return is waited for.
 *
 * A connection that is retained (netpoll_conn_retain()) counts as busy.
 *
 * @param timeout_ms  from now to the deadline; 0: abort at once; NETPOLL_TIMEOUT_NONE: wait for all
 * @return connections that had to be aborted; -EINVAL for another negative timeout or one above
 *         NETPOLL_TIMEOUT_MS_MAX; 0 when called again, also while another thread is
 *         in this call, which is waited for
 *
 * Thread: neither a poller nor a handler of this runtime, nor on_shutdown: -EDEADLK.
 */
NETPOLL_API NETPOLL_MUST_CHECK int netpoll_server_shutdown(struct netpoll_server *server,
                                                           int64_t timeout_ms);

/**
 * Shuts the server down with a deadline of 0 if that has not been done, and frees it.
 *
 * @param server  NULL does nothing
 * @return 0; -EDEADLK as netpoll_server_shutdown(), nothing freed
 */
NETPOLL_API NETPOLL_MUST_CHECK int netpoll_server_destroy(struct netpoll_server *server);

#ifdef __cplusplus
}
#endif

#endif
