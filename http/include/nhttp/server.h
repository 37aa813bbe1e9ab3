/**
 * An HTTP/1.1 server on a netpoll runtime.
 *
 * Heads and bodies are parsed on the pollers; a connection that is slow holds what it has sent and
 * nothing else. The handler runs when the request is there, on the pool or on the poller, and
 * answers when it returns, or later from any thread: see nhttp_request_defer().
 *
 * Requests of a connection are handled one after the other, so that answers are in order. Answers
 * to pipelined requests leave together.
 *
 * Threads: any thread, unless a call says otherwise. Errors: 0 or a negative errno value.
 */
#ifndef NHTTP_SERVER_H
#define NHTTP_SERVER_H

#include <nhttp/chunked.h>
#include <nhttp/export.h>
#include <nhttp/request.h>

#include <netpoll/conn_options.h>
#include <netpoll/server.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct nhttp_server;

/** Default of header_timeout_ms. */
#define NHTTP_HEADER_TIMEOUT_MS_DEFAULT 10000
/** Default of body_timeout_ms. */
#define NHTTP_BODY_TIMEOUT_MS_DEFAULT 30000
/** Default of body_min_rate. */
#define NHTTP_BODY_MIN_RATE_DEFAULT 256
/** The first milliseconds of a body, in which body_min_rate does not hold. */
#define NHTTP_BODY_GRACE_MS 5000
/** Default of write_timeout_ms. */
#define NHTTP_WRITE_TIMEOUT_MS_DEFAULT 30000
/** Default of idle_timeout_ms. */
#define NHTTP_IDLE_TIMEOUT_MS_DEFAULT 60000
/** Default of linger_timeout_ms. */
#define NHTTP_LINGER_TIMEOUT_MS_DEFAULT 2000
/** Default of watchdog_ms. */
#define NHTTP_WATCHDOG_MS_DEFAULT 5000
/** Default of max_requests. */
#define NHTTP_REQUESTS_DEFAULT 10000
/** Default of max_age_ms: an hour. */
#define NHTTP_AGE_MS_DEFAULT 3600000
/** Default of max_body_bytes: 4 MiB. */
#define NHTTP_BODY_BYTES_DEFAULT ((uint64_t)4 << 20)
/** Default of max_drain_bytes: 256 KiB. */
#define NHTTP_DRAIN_BYTES_DEFAULT ((uint64_t)256 << 10)
/** Default of body_window_bytes: 64 KiB. */
#define NHTTP_BODY_WINDOW_BYTES_DEFAULT ((uint32_t)64 << 10)
/** Default of max_connections. */
#define NHTTP_CONNECTIONS_DEFAULT 10000
/** Default of retry_after_s. */
#define NHTTP_RETRY_AFTER_S_DEFAULT 1
/** Largest fields of a head. */
#define NHTTP_FIELDS_MAX 1000

/** What becomes of one request; filled in with the server's options, changed by on_head. */
struct nhttp_request_config {
    uint64_t max_body_bytes;    /**< as in the options; 0: none */
    int64_t body_timeout_ms;    /**< as in the options; 0: as these say */
    int64_t handler_timeout_ms; /**< likewise */
    bool stream_body;           /**< as stream_bodies */
};

/**
 * Looks at a request whose head has come and whose body has not been asked for.
 *
 * @param config  may be changed for this request
 * @return 0: it goes on; a status of 400 to 599: it is answered with that, without its handler; the
 *         response may have been made, otherwise it is the status's own. What is neither, a
 *         time limit out of range, and a panic are answered with 500
 *
 * Thread: poller. It must not block.
 */
typedef int nhttp_head_fn(struct nhttp_request *request, struct nhttp_request_config *config,
                          void *arg);

/** Where a connection stands. */
enum nhttp_conn_state {
    NHTTP_CONN_NEW = 0,      /**< accepted, nothing has come */
    NHTTP_CONN_ACTIVE = 1,   /**< a request has begun */
    NHTTP_CONN_IDLE = 2,     /**< answered; the next one has not begun */
    NHTTP_CONN_HIJACKED = 3, /**< the last one: see nhttp_request_hijack() */
    NHTTP_CONN_CLOSED = 4,   /**< the last one */
};

/**
 * A connection has changed its state. Calls for one connection come one after the other.
 *
 * Thread: whoever answers, or poller. It must not block.
 */
typedef void nhttp_conn_state_fn(uint64_t conn_id, enum nhttp_conn_state state, void *arg);

/** A request that has been answered, or refused. */
struct nhttp_record {
    uint64_t conn_id;          /**< netpoll_conn_id() */
    struct nhttp_text method;  /**< empty when the head was refused */
    struct nhttp_text target;  /**< as it came; likewise */
    uint8_t minor_version;     /**< of HTTP/1 */
    uint16_t status;           /**< of the answer; 0: there was none, the connection broke */
    uint64_t body_bytes_in;    /**< of the request, decoded */
    uint64_t body_bytes_out;   /**< of the answer, without framing */
    int64_t took_us;           /**< from its head to its answer; 0 for one that was refused */
    struct netpoll_conn *conn; /**< for its addresses; borrowed until the call returns */
};

/**
 * Told of every request at its end: for an access log and metrics.
 *
 * @param record  borrowed until the call returns
 *
 * Thread: the one that answers. It must not block.
 */
typedef void nhttp_record_fn(const struct nhttp_record *record, void *arg);

/**
 * Zero is the default of every field but handler. Timeouts are in milliseconds: 0 is the default,
 * NETPOLL_TIMEOUT_NONE none.
 */
struct nhttp_server_options {
    nhttp_handler_fn *handler;     /**< required: answers a request */
    void *arg;                     /**< handed to every callback */
    nhttp_head_fn *on_head;        /**< NULL: none */
    nhttp_conn_state_fn *on_state; /**< NULL: none */
    nhttp_record_fn *on_record;    /**< NULL: none */

    enum netpoll_handler executor; /**< where handlers run: NETPOLL_HANDLER_POOL */
    /** Runs handlers, borrowed until the server is destroyed. NULL: the runtime's pool, or one of
     * the server's own when max_workers or max_queued is set */
    struct gopool *pool;
    uint32_t max_workers;     /**< handlers at a time, of a pool of the server's own. 0: that of
                                   gopool_options.cap */
    uint32_t max_queued;      /**< requests that wait for a worker, of such a pool. 0:
                                   GOPOOL_QUEUE_LIMIT_DEFAULT; beyond: 503 with Retry-After */
    int64_t queue_timeout_ms; /**< a request that has waited so long for a worker: 503 likewise.
                                   0: none */
    uint32_t retry_after_s;   /**< what Retry-After says. 0: 1 */

    const char *name;        /**< of the Server field, copied, not empty; NULL: none is sent */
    bool disable_date;       /**< no Date field; RFC 9110, 6.6.1, allows it only without a
                                  clock */
    bool disable_keep_alive; /**< one request a connection */
    bool get_only;           /**< other methods than GET and HEAD: 405 */
    bool ignore_half_close;  /**< false: a client that has closed its side is still answered */

    int64_t header_timeout_ms;  /**< from the first byte of a head to its last: 408. 0: 10,000 */
    int64_t body_timeout_ms;    /**< nothing of a body came: 408. 0: 30,000 */
    uint32_t body_min_rate;     /**< bytes a second of a body, on average once NHTTP_BODY_GRACE_MS
                                     have passed: 408. 0: 256; UINT32_MAX: none */
    int64_t write_timeout_ms;   /**< the client takes nothing: reset. 0: 30,000 */
    int64_t idle_timeout_ms;    /**< no request has begun since the last answer left: closed without
                                     a word. 0: 60,000 */
    int64_t handler_timeout_ms; /**< no answer has begun: 503, and the handler's is dropped, see
                                     nhttp_request_on_cancel(). 0: none */
    int64_t watchdog_ms;        /**< a handler that takes longer is logged, once. 0: 5,000 */
    int64_t linger_timeout_ms;  /**< after an answer that ends the connection while the client still
                                     sends: its bytes are thrown away so long. 0: 2,000 */

    struct nhttp_head_limits head;       /**< fields at most NHTTP_FIELDS_MAX: 414 or 431.
                                              Without line_bytes a head_bytes below its default
                                              is that of lines as well; for longer lines than
                                              heads raise both */
    struct nhttp_chunked_limits chunked; /**< 400 */
    uint64_t max_body_bytes;             /**< of a request: 413. 0: 4 MiB */
    bool stream_bodies;         /**< handlers get requests before their bodies: nhttp/body.h */
    uint32_t body_window_bytes; /**< of such a body, what may wait for its handler beside what
                                     rests in the connection's input. 0: 64 KiB */
    uint64_t max_drain_bytes;   /**< of a body that nobody has taken when the answer is complete:
                                     thrown away for the next request; beyond, the connection
                                     ends behind the answer. 0: 256 KiB */
    uint32_t max_requests;      /**< of a connection; the last answer says close. 0: 10,000 */
    int64_t max_age_ms;         /**< of a connection, less up to a tenth by chance; the next answer
                                     says close. 0: an hour */
    uint32_t max_connections;   /**< at a time. 0: 10,000 or four fifths of the descriptor limit,
                                     whichever is less. What happens beyond: listener.when_full */
    uint32_t max_per_address;   /**< connections at a time from one address, or one /64 of IPv6:
                                     429. 0: no limit */

    struct netpoll_server_options listener; /**< without max_connections, on_shutdown and arg */
    int32_t keepalive_s;                    /**< as netpoll_conn_options.keepalive_s */
    uint32_t reserved[8];                   /**< must be zero */
};

/**
 * Creates a server without listeners.
 *
 * @param runtime  borrowed until nhttp_server_destroy()
 * @param options  copied
 * @param out      the server, NULL on failure
 * @return 0; -EINVAL when the handler is missing, a number is beyond its range, limits contradict
 *         each other, pool is given beside max_workers or max_queued, the name is empty or
 *         has a byte that no field may have, or a reserved field is set; otherwise as
 * netpoll_server_create() and gopool_create()
 *
 * Memory: the caller owns the server and ends it with nhttp_server_destroy(), before the runtime.
 */
NHTTP_API NHTTP_MUST_CHECK int nhttp_server_create(struct netpoll_runtime *runtime,
                                                   const struct nhttp_server_options *options,
                                                   struct nhttp_server **out);

/** Listens on one more address: as netpoll_server_listen(). */
NHTTP_API NHTTP_MUST_CHECK int nhttp_server_listen(struct nhttp_server *server,
                                                   const char *address);

/**
 * The server below: for addresses, adopted sockets, handover to a new process.
 *
 * Memory: borrowed until nhttp_server_destroy(). It is shut down and destroyed by this server only.
 */
NHTTP_API NHTTP_MUST_CHECK struct netpoll_server *
nhttp_server_netpoll(const struct nhttp_server *server);

/**
 * Stops accepting; closes idle connections at once and the others behind the answer to the request
 * that has begun. Otherwise as netpoll_server_shutdown(), but for handlers on a pool: at the
 * deadline they are cancelled, see nhttp_request_on_cancel(), and not waited for.
 */
NHTTP_API NHTTP_MUST_CHECK int nhttp_server_shutdown(struct nhttp_server *server,
                                                     int64_t timeout_ms);

/**
 * Shuts the server down with a deadline of 0 if that has not been done, and frees it.
 *
 * A deferred request whose connection was aborted is not waited for: it is cancelled, whoever has
 * it finishes it as any other, even when the runtime is gone, and the last one frees what the
 * server has kept for them.
 *
 * Waits for handlers on a pool of the server's own. On another pool handlers may still run, or
 * begin, and call the other callbacks, until that pool has been ended or drained: before what
 * options.arg points to goes, and before the runtime, whose own pool ends with it. The same holds
 * for requests that are deferred.
 *
 * @param server  NULL does nothing
 * @return 0; -EDEADLK as netpoll_server_shutdown(), nothing freed
 */
NHTTP_API NHTTP_MUST_CHECK int nhttp_server_destroy(struct nhttp_server *server);

/** Statuses that are counted, from 400 on. */
#define NHTTP_REFUSALS 112

/** Figures of a server. Each was true at some moment of the call. */
struct nhttp_server_stats {
    uint64_t connections; /**< that are there */
    uint64_t requests;    /**< whose head was taken */
    uint64_t answers;     /**< of handlers, complete */
    uint64_t
        refused[NHTTP_REFUSALS]; /**< requests that the server itself refused: with 400 first */
    uint64_t panics;             /**< of handlers and other callbacks */
    uint64_t cancelled;          /**< requests whose client has gone before the answer */
    uint64_t header_timeouts;    /**< by limit: requests or connections that it has ended */
    uint64_t body_timeouts;
    uint64_t body_rate_limits;
    uint64_t idle_timeouts;
    uint64_t handler_timeouts;
    uint64_t queue_timeouts;
    uint64_t queue_full;
    uint64_t watchdog;       /**< handlers that were logged */
    uint64_t request_limits; /**< max_requests */
    uint64_t age_limits;     /**< max_age_ms */
    uint64_t address_limits; /**< max_per_address */
    uint64_t body_pauses;    /**< body_window_bytes: times that a body waited for its handler */
    uint64_t drain_limits;   /**< max_drain_bytes */
    uint64_t linger_timeouts;
};

/** Reads the figures. */
NHTTP_API void nhttp_server_stats_read(struct nhttp_server *server, struct nhttp_server_stats *out);

/**
 * Writes the figures as Prometheus text.
 *
 * @return bytes that there are, without the terminating NUL; as snprintf(3) when size is too small
 */
NHTTP_API size_t nhttp_server_stats_text(struct nhttp_server *server, char *out, size_t size);

#ifdef __cplusplus
}
#endif

#endif
