/**
 * A server: listeners and what to do with their connections.
 *
 * Callbacks of one connection never run at the same time, on_cancel aside. Order: on_prepare,
 * on_connect, on_request as often as there is something to read, on_disconnect, then the close
 * callbacks. on_prepare, on_connect and on_disconnect run exactly once. A panic in any callback,
 * posted ones among them, closes that connection only; gopool_exit_task() ends just the callback.
 * None may end its thread by pthread_exit(3).
 *
 * Threads: any thread, unless a call says otherwise. Errors: 0 or a negative errno value.
 */
#ifndef NETPOLL_SERVER_H
#define NETPOLL_SERVER_H

#include <netpoll/conn.h>
#include <netpoll/export.h>
#include <netpoll/runtime.h>

#ifdef __cplusplus
extern "C" {
#endif

struct netpoll_server;

/** Where callbacks run. */
enum netpoll_handler {
    NETPOLL_HANDLER_POOL = 0,   /**< on the runtime's pool: they may block */
    NETPOLL_HANDLER_INLINE = 1, /**< on the poller: they must not block */
};

/**
 * Looks at a connection before its first byte is read.
 *
 * It may set the user's pointer and add close callbacks; other calls give -ENOTCONN.
 *
 * @return 0; anything else drops the connection: only its close callbacks will run
 *
 * Thread: poller thread. It must not block.
 */
typedef int netpoll_prepare_fn(struct netpoll_conn *conn, void *arg);

/** The connection has ended, for this reason. Thread: handler. */
typedef void netpoll_disconnect_fn(struct netpoll_conn *conn, enum netpoll_close_reason reason,
                                   void *arg);

/** Default of close_timeout_ms, in milliseconds. */
#define NETPOLL_CLOSE_TIMEOUT_MS_DEFAULT 5000
/** Default of backlog. */
#define NETPOLL_BACKLOG_DEFAULT 1024

/** Zero is the default of every field but on_request. */
struct netpoll_server_options {
    netpoll_conn_fn *on_request;          /**< called when there is something to read; required */
    netpoll_prepare_fn *on_prepare;       /**< NULL: none */
    netpoll_conn_fn *on_connect;          /**< before the first on_request; NULL: none */
    netpoll_disconnect_fn *on_disconnect; /**< after the last on_request; NULL: none */
    /**
     * The peer has closed its side, or the connection is broken: an answer may be in vain. Runs
     * on the poller, possibly beside a handler, at most once; it may set flags and call
     * netpoll_conn_post(), nothing else. NULL: none
     */
    netpoll_conn_fn *on_cancel;
    void *arg;                    /**< handed to every callback */
    enum netpoll_handler handler; /**< NETPOLL_HANDLER_POOL */
    uint32_t close_timeout_ms;    /**< time to send what is queued at close; 0: 5,000 ms */
    int backlog;                  /**< of listen(2); 0: 1,024 */
    bool disable_nodelay;         /**< false: TCP_NODELAY, see tcp(7) */
    uint32_t reserved[4];         /**< must be zero */
};

/**
 * Creates a server without listeners.
 *
 * @param runtime  borrowed until netpoll_server_destroy()
 * @param options  borrowed; not NULL
 * @param out      the server, NULL on failure
 * @return 0; -EINVAL when on_request is missing, handler is unknown, backlog is negative or a
 *         reserved field is set; -ENOMEM
 *
 * Memory: the caller owns the server and ends it with netpoll_server_destroy(), before the
 *         runtime.
 */
NETPOLL_API NETPOLL_MUST_CHECK int
netpoll_server_create(struct netpoll_runtime *runtime, const struct netpoll_server_options *options,
                      struct netpoll_server **out);

/**
 * Listens on one more address.
 *
 * @param address  "HOST:PORT", "[::1]:PORT", "unix:PATH" or "unix:@NAME" (abstract). HOST is a
 *                 numeric address, "localhost", or empty for every address of the host. PORT 0
 *                 takes a free one. An existing socket file at PATH that nobody listens on is
 *                 replaced.
 * @return 0; -EINVAL when it cannot be parsed; -EADDRINUSE, -EADDRNOTAVAIL, -EACCES ... as the
 *         system says; -ESHUTDOWN after netpoll_server_shutdown(); -EDEADLK on a poller of the
 *         runtime. The others stay as they were.
 *
 * Thread: not a poller of this runtime.
 */
NETPOLL_API NETPOLL_MUST_CHECK int netpoll_server_listen(struct netpoll_server *server,
                                                         const char *address);

/** Number of addresses the server listens on. */
NETPOLL_API NETPOLL_MUST_CHECK size_t netpoll_server_listeners(struct netpoll_server *server);

/** Bytes that hold every address, the terminating NUL included. */
#define NETPOLL_ADDRESS_BYTES 128

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
 * Stops listening, serves what has been accepted, closes idle connections, sends what is queued,
 * and aborts what is left at the deadline. Returns when no connection is left and no callback
 * runs; a handler that does not return is waited for.
 *
 * A connection that is retained (netpoll_conn_retain()) counts as busy.
 *
 * @param timeout_ms  from now to the deadline; 0: abort at once
 * @return connections that had to be aborted; 0 when called again, also while another thread is
 *         in this call, which is waited for
 *
 * Thread: neither a poller nor a handler of this runtime: -EDEADLK.
 */
NETPOLL_API NETPOLL_MUST_CHECK int netpoll_server_shutdown(struct netpoll_server *server,
                                                           uint32_t timeout_ms);

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
