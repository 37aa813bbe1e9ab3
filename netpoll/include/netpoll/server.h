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

/** Zero is the default of every field. */
struct netpoll_server_options {
    int backlog;          /**< of listen(2); 0: 1,024 */
    uint32_t reserved[8]; /**< must be zero */
};

/**
 * Creates a server without listeners.
 *
 * @param runtime  borrowed until netpoll_server_destroy()
 * @param conn     what becomes of its connections; copied
 * @param options  copied; NULL: all defaults
 * @param out      the server, NULL on failure
 * @return 0; -EINVAL when on_request is missing, handler is unknown, backlog or a timeout other
 *         than NETPOLL_TIMEOUT_NONE is negative or above NETPOLL_TIMEOUT_MS_MAX, a low mark is
 *         above its high one, max_message_bytes is above NETPOLL_MESSAGE_BYTES_MAX or a reserved
 *         field is set; -ENOMEM
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
 * @param timeout_ms  from now to the deadline; 0: abort at once; NETPOLL_TIMEOUT_NONE: wait for all
 * @return connections that had to be aborted; -EINVAL for another negative timeout or one above
 *         NETPOLL_TIMEOUT_MS_MAX; 0 when called again, also while another thread is
 *         in this call, which is waited for
 *
 * Thread: neither a poller nor a handler of this runtime: -EDEADLK.
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
