/**
 * What becomes of a connection: its callbacks, where they run, its timeouts and its limits. Given
 * to a server for those it accepts, to a dialer for those it makes.
 *
 * Callbacks of one connection never run at the same time, on_cancel aside. Order: on_prepare,
 * on_connect, on_request as often as there is something to read, on_disconnect, then the close
 * callbacks. on_prepare, on_connect and on_disconnect run exactly once. A panic in any callback,
 * posted ones among them, aborts that connection only; gopool_exit_task() ends just the callback.
 * None may end its thread by pthread_exit(3).
 */
#ifndef NETPOLL_CONN_OPTIONS_H
#define NETPOLL_CONN_OPTIONS_H

#include <netpoll/export.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct netpoll_conn;
struct netpoll_framer;
struct netpoll_transform;

/** A callback of a connection. Thread: handler. */
typedef void netpoll_conn_fn(struct netpoll_conn *conn, void *arg);

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

/** Why a connection has ended. The first reason wins. */
enum netpoll_close_reason {
    NETPOLL_CLOSE_NONE = 0,          /**< it has not */
    NETPOLL_CLOSE_EOF = 1,           /**< the peer closed its side and was served */
    NETPOLL_CLOSE_RESET = 2,         /**< the peer reset it or does not receive any more */
    NETPOLL_CLOSE_USER = 3,          /**< netpoll_conn_close() or netpoll_conn_abort() */
    NETPOLL_CLOSE_PANIC = 4,         /**< a callback panicked */
    NETPOLL_CLOSE_ERROR = 5,         /**< the system failed; the log has the errno */
    NETPOLL_CLOSE_SHUTDOWN = 6,      /**< the server or dialer shut down */
    NETPOLL_CLOSE_READ_TIMEOUT = 7,  /**< a message was not complete in time */
    NETPOLL_CLOSE_WRITE_TIMEOUT = 8, /**< the peer took nothing of the output for too long */
    NETPOLL_CLOSE_IDLE_TIMEOUT = 9,  /**< nothing came and nothing went for too long */
    NETPOLL_CLOSE_BAD_MESSAGE = 10,  /**< a frame that is none, or above its framer's limit */
    NETPOLL_CLOSE_DETACHED = 11,     /**< netpoll_conn_detach() */
};

/** Number of reasons, for tables. */
#define NETPOLL_CLOSE_REASON_COUNT 12

/** The connection has ended, for this reason. Thread: handler. */
typedef void netpoll_disconnect_fn(struct netpoll_conn *conn, enum netpoll_close_reason reason,
                                   void *arg);

/** Where callbacks run. */
enum netpoll_handler {
    NETPOLL_HANDLER_POOL = 0,   /**< on the runtime's pool: they may block */
    NETPOLL_HANDLER_INLINE = 1, /**< on the poller: they must not block */
};

/** Default of read_timeout_ms: one minute for a message that has begun. */
#define NETPOLL_READ_TIMEOUT_MS_DEFAULT 60000
/** Default of write_timeout_ms. */
#define NETPOLL_WRITE_TIMEOUT_MS_DEFAULT 30000
/** Default of close_timeout_ms. */
#define NETPOLL_CLOSE_TIMEOUT_MS_DEFAULT 5000
/** Default of max_message_bytes: a message of 16 MiB and its head. */
#define NETPOLL_MESSAGE_BYTES_DEFAULT (((size_t)16 << 20) + ((size_t)64 << 10))
/** Largest max_message_bytes. */
#define NETPOLL_MESSAGE_BYTES_MAX ((size_t)1 << 30)
/** Default of input_high_bytes. */
#define NETPOLL_INPUT_HIGH_BYTES_DEFAULT ((size_t)256 << 10)
/** Default of input_low_bytes. */
#define NETPOLL_INPUT_LOW_BYTES_DEFAULT ((size_t)64 << 10)
/** Default of input_pinned_bytes. */
#define NETPOLL_INPUT_PINNED_BYTES_DEFAULT ((size_t)1 << 20)
/** Largest input_pinned_bytes. */
#define NETPOLL_INPUT_PINNED_BYTES_MAX ((size_t)32 << 20)
/** Default of output_high_bytes. */
#define NETPOLL_OUTPUT_HIGH_BYTES_DEFAULT ((size_t)1 << 20)
/** Default of output_low_bytes. */
#define NETPOLL_OUTPUT_LOW_BYTES_DEFAULT ((size_t)256 << 10)
/** Default of output_hard_bytes. */
#define NETPOLL_OUTPUT_HARD_BYTES_DEFAULT ((size_t)16 << 20)
/** Default of keepalive_s. */
#define NETPOLL_KEEPALIVE_S_DEFAULT 60

/**
 * Zero is the default of every field.
 *
 * Timeouts are in milliseconds: 0 is the default, NETPOLL_TIMEOUT_NONE none. Those for reading and
 * idleness rest while the connection's input is paused, for whatever reason.
 */
struct netpoll_conn_options {
    /**
     * There is something to read: need bytes, or a frame when there is a framer. A server needs
     * it. NULL in a dialer: the connection is read by whoever holds it, on one thread at a time,
     * see netpoll_conn_wait().
     */
    netpoll_conn_fn *on_request;
    netpoll_prepare_fn *on_prepare;       /**< NULL: none */
    netpoll_conn_fn *on_connect;          /**< before the first on_request; NULL: none */
    netpoll_disconnect_fn *on_disconnect; /**< after the last on_request; NULL: none */
    /**
     * The output that stood above its high mark has fallen to the low one, so that
     * netpoll_conn_flush() takes more. A turn of its own. NULL: none
     */
    netpoll_conn_fn *on_writable;
    /**
     * The alarm of netpoll_conn_set_alarm() has passed. A turn of its own, also while input rests
     * or output is queued. Not together with request_timeout_ms. NULL: none
     */
    netpoll_conn_fn *on_alarm;
    /**
     * The peer has closed its side, or the connection is broken, or a handler takes longer than
     * request_timeout_ms: an answer may be in vain. Runs on the poller, possibly beside a handler,
     * at most once; it may set flags and call netpoll_conn_post(), nothing else. What it posts runs
     * in a turn, where the last unread bytes and netpoll_conn_is_at_end() can be looked at. An end
     * behind which nothing is unread calls nothing else. NULL: none
     */
    netpoll_conn_fn *on_cancel;
    void *arg;                    /**< handed to every callback */
    enum netpoll_handler handler; /**< NETPOLL_HANDLER_POOL */
    /** Cuts the input into messages; borrowed until the server or dialer ends. NULL: need does. */
    const struct netpoll_framer *framer;
    /** Between the descriptor and the buffers; borrowed likewise. NULL: none */
    const struct netpoll_transform *transform;

    /**
     * From the first byte of a message until it is complete, however the bytes drip. When it has
     * passed on_request is called with what there is, and reading calls that want more give
     * -ETIMEDOUT; then the connection closes. 0: 60,000
     */
    int64_t read_timeout_ms;
    /** Output is queued and the peer takes nothing of it: the connection is aborted. 0: 30,000 */
    int64_t write_timeout_ms;
    /** Nothing came, nothing went and no handler ran: the connection closes. 0: none */
    int64_t idle_timeout_ms;
    /** One call of on_request: on_cancel is told when it has passed. 0: none */
    int64_t request_timeout_ms;
    /** From close until what is queued has been sent; then the connection is aborted. Of one that
     * has been given files: while the peer takes nothing. 0: 5,000 */
    int64_t close_timeout_ms;

    /** Most bytes that a message, or need, may have. 0: 16 MiB + 64 KiB */
    size_t max_message_bytes;
    /** Unread input at which the connection stops receiving, unless need is more; 0: 256 KiB */
    size_t input_high_bytes;
    /** Unread input at which it goes on; below need it goes on, too. 0: 64 KiB, or a quarter of
     * input_high_bytes where that is less than 64 KiB */
    size_t input_low_bytes;
    /** Room of receive blocks that unread input may keep from others; what comes above that is
     * copied into blocks of its own size. At most NETPOLL_INPUT_PINNED_BYTES_MAX. 0: 1 MiB */
    size_t input_pinned_bytes;
    /** Queued output above which the connection gets no turn and receives nothing; 0: 1 MiB */
    size_t output_high_bytes;
    /** Queued output at which it goes on. 0: 256 KiB, or a quarter of output_high_bytes where that
     * is less than 256 KiB */
    size_t output_low_bytes;
    /** Output queued in memory before a flush above which the flush is refused; at least
     * output_high_bytes. 0: 16 MiB */
    size_t output_hard_bytes;

    bool disable_nodelay;    /**< false: TCP_NODELAY, see tcp(7) */
    int32_t keepalive_s;     /**< idle seconds before keep-alive probes, and half as many between
                                  them, see tcp(7); 0: 60; -1: no keep-alive */
    int64_t user_timeout_ms; /**< TCP_USER_TIMEOUT, see tcp(7); not NETPOLL_TIMEOUT_NONE. 0: the
                                  system's */
    uint32_t reserved[8];    /**< must be zero */
};

#ifdef __cplusplus
}
#endif

#endif
