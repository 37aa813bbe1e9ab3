/**
 * A connection: bytes in, bytes out, and its end.
 *
 * Turns. Callbacks of a connection run one at a time, each in a turn. on_request starts when at
 * least `need` bytes are unread; need is 1 unless a call that found too few bytes raised it. When
 * on_request returns, what it consumed is released and pointers it was given are dead; to keep
 * bytes, slice them. If it consumed something and enough is left, it is called again; if it
 * consumed nothing, it is called when more bytes have come. The end of the peer's bytes, when some
 * are unread, calls it whatever need is.
 *
 * Reading never blocks. Unread input is bounded: at 256 KiB, or at need when that is more, the
 * connection stops receiving, and goes on at 64 KiB or below need.
 *
 * Writing never blocks. While more than 1 MiB of output is queued the connection gets no turn and
 * receives nothing; it goes on at 256 KiB.
 *
 * Waiting. netpoll_conn_wait() and netpoll_conn_flush_wait() block the calling thread, never a
 * poller. A handler on the pool may wait for the rest of a message; a slow peer then holds a
 * worker.
 *
 * The end. When the peer has closed its side, everything it sent has been offered to on_request,
 * and nobody retains the connection, it is closed; what was flushed is still sent. One that is
 * retained stays open for more output until it is closed or released: who retains connections for
 * long closes them when on_cancel has told of the peer's end.
 *
 * Threads: reading calls belong to the handler. Writing calls may be made on any thread that
 * retains the connection, one at a time. The rest says so itself.
 * Errors: 0 or a negative errno value. Once the connection is closing, reading and writing calls
 * give -ENOTCONN, also in the handler that closed it.
 */
#ifndef NETPOLL_CONN_H
#define NETPOLL_CONN_H

#include <netpoll/conn_options.h>
#include <netpoll/export.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct linkbuffer;
struct linkbuffer_file;
struct netpoll_conn;

/** Bytes that hold every address as text, the terminating NUL included. */
#define NETPOLL_ADDRESS_BYTES 128

/* Reading. Thread: handler; for a connection without on_request one thread at a time that retains
 * it. */

/** Unread bytes. */
NETPOLL_API NETPOLL_MUST_CHECK size_t netpoll_conn_len(struct netpoll_conn *conn);

/**
 * Consumes n bytes and shows them in one piece.
 *
 * @param out  the bytes; untouched on failure
 * @return 0; -EAGAIN when fewer are there: need is n for the next turn; NETPOLL_EOF when fewer are
 *         there and no more will come; -EMSGSIZE when n is above max_message_bytes; -ENOMEM;
 * -ENOTCONN
 *
 * Memory: lends the bytes until the handler returns.
 */
NETPOLL_API NETPOLL_MUST_CHECK int netpoll_conn_next(struct netpoll_conn *conn, size_t n,
                                                     const void **out);

/** Shows n bytes in one piece without consuming them. Otherwise as netpoll_conn_next(). */
NETPOLL_API NETPOLL_MUST_CHECK int netpoll_conn_peek(struct netpoll_conn *conn, size_t n,
                                                     const void **out);

/** Consumes n bytes without showing them. Otherwise as netpoll_conn_next(). */
NETPOLL_API NETPOLL_MUST_CHECK int netpoll_conn_skip(struct netpoll_conn *conn, size_t n);

/**
 * Consumes everything up to and including the first delimiter and shows it in one piece.
 *
 * @param n  bytes shown, delimiter included; untouched on failure
 * @return as netpoll_conn_next(); without a delimiter need is one byte more than is there
 */
NETPOLL_API NETPOLL_MUST_CHECK int netpoll_conn_until(struct netpoll_conn *conn, uint8_t delimiter,
                                                      const void **out, size_t *n);

/**
 * Consumes up to n bytes into the caller's memory.
 *
 * @return bytes copied, min(n, netpoll_conn_len()); -ENOTCONN
 *
 * Memory: borrows into.
 */
NETPOLL_API NETPOLL_MUST_CHECK ssize_t netpoll_conn_read(struct netpoll_conn *conn, void *into,
                                                         size_t n);

/**
 * Consumes n bytes into a buffer of their own, without a copy. Otherwise as netpoll_conn_next().
 *
 * @param out  a buffer with n readable bytes, NULL on failure
 *
 * Memory: the caller owns *out, on any thread, and frees it with linkbuffer_destroy().
 */
NETPOLL_API NETPOLL_MUST_CHECK int netpoll_conn_slice(struct netpoll_conn *conn, size_t n,
                                                      struct linkbuffer **out);

/**
 * States how many bytes the next on_request needs, as a call that finds too few does.
 *
 * @param n  bytes, unread ones among them; 0 is 1
 * @return 0; -EMSGSIZE when n is above max_message_bytes; -ENOTCONN
 */
NETPOLL_API NETPOLL_MUST_CHECK int netpoll_conn_need(struct netpoll_conn *conn, size_t n);

/**
 * States that nothing can be done with what is unread, however much comes: no on_request for it
 * until a reading call or netpoll_conn_need() wants something, from a post say. Receiving goes on
 * up to input_high_bytes, so that the end of the peer is seen; behind it on_request is called once.
 *
 * Without it an on_request that consumes nothing is called for every byte that comes, and input
 * grows up to max_message_bytes.
 *
 * @return 0; -ENOTCONN
 */
NETPOLL_API int netpoll_conn_need_nothing(struct netpoll_conn *conn);

/**
 * Waits until n bytes are unread. What the next on_request needs stays as it was.
 *
 * For a connection without on_request it also ends the life of what reading calls have shown. Whose
 * netpoll_conn_until() or netpoll_conn_next_frame() has given -EAGAIN waits for one byte more than
 * were unread before that call; what has come during the call is then not waited for:
 *
 *     size_t n = netpoll_conn_len(conn);
 *     int status = netpoll_conn_next_frame(conn, &frame, &bytes);
 *     if (status == -EAGAIN)
 *         status = netpoll_conn_wait(conn, n + 1, timeout_ms);
 *
 * @param n           bytes; 0 is 1
 * @param timeout_ms  0: does not wait; NETPOLL_TIMEOUT_NONE: as long as it takes
 * @return 0; NETPOLL_EOF when fewer are there and no more will come; -ECONNRESET; -ETIMEDOUT, also
 *         when the read deadline has passed; -ESHUTDOWN when the server shuts down and the handler
 *         has consumed nothing; -EDEADLK on a poller of the runtime, unless timeout_ms is 0;
 *         -EAGAIN when so many workers of the pool wait that no further one may, see
 *         gopool_options.max_blocked; -EMSGSIZE when
 *         n is above max_message_bytes; -EINVAL for a timeout out of range; -ENOTCONN, also when
 *         another thread closes it meanwhile
 *
 * Thread: handler; for a connection without on_request the thread that reads it. On a worker of
 * the pool another one takes its place while it waits.
 */
NETPOLL_API NETPOLL_MUST_CHECK int netpoll_conn_wait(struct netpoll_conn *conn, size_t n,
                                                     int64_t timeout_ms);

/* Writing. Thread: one at a time per connection. */

/**
 * Appends n bytes that lie in one piece and lets the caller fill them.
 *
 * @param n    bytes; 0 gives NULL
 * @param out  where to write; untouched on failure
 * @return 0; -ENOMEM; -ENOTCONN
 *
 * Memory: lends the bytes until flush or commit.
 */
NETPOLL_API NETPOLL_MUST_CHECK int netpoll_conn_reserve(struct netpoll_conn *conn, size_t n,
                                                        void **out);

/**
 * Keeps the first n bytes written since the last flush and takes the rest back.
 *
 * @return 0; -EINVAL when fewer were written; -ENOTCONN
 */
NETPOLL_API NETPOLL_MUST_CHECK int netpoll_conn_commit(struct netpoll_conn *conn, size_t n);

/** Appends a copy of n bytes. @return 0; -ENOMEM; -ENOTCONN. Memory: borrows data. */
NETPOLL_API NETPOLL_MUST_CHECK int netpoll_conn_write(struct netpoll_conn *conn, const void *data,
                                                      size_t n);

/**
 * Appends the caller's memory itself.
 *
 * @param data     n bytes that must not change until release is called
 * @param release  as for linkbuffer_write_ref(): called exactly once, with arg, when the bytes
 *                 have been sent or dropped, on any thread; it must not panic; NULL: nothing is
 *                 called
 * @return 0, for n == 0 with release called already; -ENOMEM or -ENOTCONN: release will not be
 *         called
 *
 * Memory: takes data.
 */
NETPOLL_API NETPOLL_MUST_CHECK int netpoll_conn_write_ref(struct netpoll_conn *conn,
                                                          const void *data, size_t n,
                                                          void (*release)(void *arg), void *arg);

/**
 * Appends bytes of a file, which are not read but sent by sendfile(2) from wherever the connection
 * sends. With a transform they are read, some at a time, when they are encoded.
 *
 * They count as unsent and for output_high_bytes: while a large file is on its way the connection
 * gets no turn. They hold no memory, and output_hard_bytes does not count them. A file that cannot
 * be read when its turn has come, or ends before the range, has the connection aborted with
 * NETPOLL_CLOSE_ERROR and a line of log: what the peer was promised cannot be sent. A peer that is
 * gone raises no SIGPIPE.
 *
 * @param file  borrowed; see linkbuffer/file.h. Its release is called exactly once, with arg, when
 *              the bytes have been sent or dropped, on any thread; it must not block or panic
 * @return as linkbuffer_write_file(); -ENOTCONN. release will not be called after a failure
 *
 * Memory: borrows file->fd until release is called.
 */
NETPOLL_API NETPOLL_MUST_CHECK int netpoll_conn_write_file(struct netpoll_conn *conn,
                                                           const struct linkbuffer_file *file);

/**
 * Moves every readable byte of a buffer to the end of the output, without a copy.
 *
 * @param from  nobody flushes files into it meanwhile
 * @return 0; -ENOMEM; -ENOTCONN
 *
 * Memory: borrows from; it stays usable and the caller's.
 */
NETPOLL_API NETPOLL_MUST_CHECK int netpoll_conn_append(struct netpoll_conn *conn,
                                                       struct linkbuffer *from);

/** Bytes that were flushed and that the kernel has not taken. Thread: any. */
NETPOLL_API NETPOLL_MUST_CHECK size_t netpoll_conn_unsent(const struct netpoll_conn *conn);

/**
 * Hands everything written since the last flush to the kernel, now or as soon as it takes it.
 *
 * Never blocks. On the connection's poller it leaves in one send at the end of the turn; on any
 * other thread it is sent at once as far as the socket goes, and the poller sends the rest.
 *
 * @return 0; 1 when more than 1 MiB is queued now; -ENOBUFS, nothing taken, when more than 16 MiB
 *         was already queued in memory; -ENOTCONN
 */
NETPOLL_API NETPOLL_MUST_CHECK int netpoll_conn_flush(struct netpoll_conn *conn);

/**
 * Flushes, and waits until the kernel has taken everything that is queued.
 *
 * @param timeout_ms  0: does not wait; NETPOLL_TIMEOUT_NONE: as long as it takes
 * @return 0; -ETIMEDOUT: what is left stays queued, unless it is the write deadline or
 *         write_timeout_ms that has passed, which abort the connection; -EDEADLK on a poller of the
 *         runtime, unless timeout_ms is 0; -EAGAIN when so many workers of the pool wait that no
 *         further one may, see gopool_options.max_blocked: what was written is flushed; -EINVAL for
 *         a timeout out of range; otherwise as netpoll_conn_flush()
 *
 * Thread: that of the other writing calls. On a worker of the pool another one takes its place.
 */
NETPOLL_API NETPOLL_MUST_CHECK int netpoll_conn_flush_wait(struct netpoll_conn *conn,
                                                           int64_t timeout_ms);

/**
 * Ends the output: when what was flushed has been sent, the peer sees the end. Input goes on.
 *
 * @return 0, also when called again; -ENOTCONN
 *
 * From here on writing calls and flush give -EPIPE. Thread: that of the other writing calls.
 */
NETPOLL_API int netpoll_conn_shutdown_write(struct netpoll_conn *conn);

/* Time limits. Thread: any thread that is a callback of the connection or retains it. */

/** A time limit, see struct netpoll_conn_options. */
enum netpoll_timeout {
    NETPOLL_READ_TIMEOUT = 0,
    NETPOLL_WRITE_TIMEOUT = 1,
    NETPOLL_IDLE_TIMEOUT = 2,
    NETPOLL_REQUEST_TIMEOUT = 3,
};

/**
 * Gives this connection a time limit of its own.
 *
 * @param timeout_ms  0: as the options say; NETPOLL_TIMEOUT_NONE: none
 * @return 0; -EINVAL for an unknown limit, a value out of range, or NETPOLL_REQUEST_TIMEOUT beside
 *         on_alarm; -ENOMEM; -ENOTCONN
 */
NETPOLL_API NETPOLL_MUST_CHECK int
netpoll_conn_set_timeout(struct netpoll_conn *conn, enum netpoll_timeout which, int64_t timeout_ms);

/** What a deadline is for. */
enum netpoll_deadline {
    NETPOLL_READ_DEADLINE = 0,
    NETPOLL_WRITE_DEADLINE = 1,
};

/**
 * Sets a point in time for all reading or all writing; a thread that waits is woken to look at it.
 *
 * When the read deadline passes, waits that want more than is there give -ETIMEDOUT, and a message
 * that no handler works on is treated as by read_timeout_ms. When the write deadline passes,
 * netpoll_conn_flush_wait() gives -ETIMEDOUT, and a connection with output queued is aborted.
 *
 * @param in_ms  milliseconds from now, 0: at once; NETPOLL_TIMEOUT_NONE: no deadline
 * @return 0; -EINVAL for an unknown deadline or a value out of range; -ENOMEM; -ENOTCONN
 */
NETPOLL_API NETPOLL_MUST_CHECK int
netpoll_conn_set_deadline(struct netpoll_conn *conn, enum netpoll_deadline which, int64_t in_ms);

/**
 * Calls on_alarm once when the time has passed, unless it is set anew before. One that was due and
 * has not been told yet may still be told: on_alarm looks at what it is for.
 *
 * Setting it to a later time, as most do again and again, costs a store.
 *
 * @param in_ms  milliseconds from now, 0: as soon as possible, but not from here;
 *               NETPOLL_TIMEOUT_NONE: no alarm
 * @return 0; -EINVAL without on_alarm or for a value out of range; -ENOTCONN
 */
NETPOLL_API int netpoll_conn_set_alarm(struct netpoll_conn *conn, int64_t in_ms);

/**
 * Stops receiving. No on_request starts until netpoll_conn_resume(); one that runs goes on, and so
 * do posts. The end of the peer is not seen either, a reset is.
 *
 * @return 0; -ENOTCONN
 */
NETPOLL_API int netpoll_conn_pause(struct netpoll_conn *conn);

/** Undoes netpoll_conn_pause(), however often that was called. @return 0; -ENOTCONN */
NETPOLL_API int netpoll_conn_resume(struct netpoll_conn *conn);

/* The end and the rest. Thread: any thread that is a callback of the connection or retains it. */

/**
 * Closes the connection: no on_request starts any more, what was flushed is sent until the
 * options' close_timeout_ms, then the peer sees the end.
 *
 * @return 0; -ENOTCONN when it was closing already
 */
NETPOLL_API int netpoll_conn_close(struct netpoll_conn *conn);

/**
 * Closes the connection at once: what is queued is dropped and the peer sees a reset.
 *
 * @return 0; -ENOTCONN when it was closing already, which then goes on without sending
 */
NETPOLL_API int netpoll_conn_abort(struct netpoll_conn *conn);

/**
 * Takes what netpoll_conn_detach() has set free.
 *
 * @param fd      the descriptor, non-blocking and close-on-exec, now the callee's; -1 when the
 *                connection ended before it could be detached
 * @param unread  input that nobody has consumed, in a buffer of the callee's: it frees it with
 *                linkbuffer_destroy(); NULL when there is none
 *
 * Thread: handler; after on_disconnect, before the close callbacks.
 */
typedef void netpoll_detached_fn(struct netpoll_conn *conn, int fd, struct linkbuffer *unread,
                                 void *arg);

/**
 * Ends the connection and gives its descriptor back, open, when what was flushed has been sent.
 *
 * @return 0: fn will be called exactly once; -EINVAL without fn; -ENOMEM; -ENOTCONN when it was
 *         closing already
 */
NETPOLL_API NETPOLL_MUST_CHECK int netpoll_conn_detach(struct netpoll_conn *conn,
                                                       netpoll_detached_fn *fn, void *arg);

/** Why the connection ends; NETPOLL_CLOSE_NONE while it does not. */
NETPOLL_API NETPOLL_MUST_CHECK enum netpoll_close_reason
netpoll_conn_reason(const struct netpoll_conn *conn);

/** True once the peer has closed its side or reset the connection. Unread bytes may be left. */
NETPOLL_API NETPOLL_MUST_CHECK bool netpoll_conn_is_at_end(const struct netpoll_conn *conn);

/** False once the connection is closing. The peer's end alone does not make it false. */
NETPOLL_API NETPOLL_MUST_CHECK bool netpoll_conn_is_active(const struct netpoll_conn *conn);

/**
 * Runs fn(conn, arg) in a turn of the connection, serial with its handlers.
 *
 * @return 0: fn will be called exactly once, before on_disconnect; -EINVAL without fn; -ENOMEM or
 *         -ENOTCONN: it will not
 */
NETPOLL_API NETPOLL_MUST_CHECK int netpoll_conn_post(struct netpoll_conn *conn, netpoll_conn_fn *fn,
                                                     void *arg);

/**
 * Adds a callback for the end of the connection, after on_disconnect. Last added runs first.
 *
 * @return 0: fn will be called exactly once; -EINVAL without fn; -ENOMEM, or -ENOTCONN when it has
 *         ended already: fn will not be called
 */
NETPOLL_API NETPOLL_MUST_CHECK int netpoll_conn_add_close_callback(struct netpoll_conn *conn,
                                                                   netpoll_conn_fn *fn, void *arg);

/**
 * Keeps the handle valid after the callbacks, also when server, dialer and runtime have been
 * destroyed: calls then give -ENOTCONN. The connection does not close by itself meanwhile, see
 * above.
 *
 * Memory: undone by netpoll_conn_release(). Thread: a callback of the connection, or one that
 * retains it already.
 */
NETPOLL_API void netpoll_conn_retain(struct netpoll_conn *conn);

/** Undoes one netpoll_conn_retain(). */
NETPOLL_API void netpoll_conn_release(struct netpoll_conn *conn);

/** A pointer of the user's, NULL at first. Thread: handler, or on_prepare. */
NETPOLL_API NETPOLL_MUST_CHECK void *netpoll_conn_data(const struct netpoll_conn *conn);
/** Sets the user's pointer. Thread: handler, or on_prepare. */
NETPOLL_API void netpoll_conn_set_data(struct netpoll_conn *conn, void *data);

/** A number that no other connection of the runtime has had. */
NETPOLL_API NETPOLL_MUST_CHECK uint64_t netpoll_conn_id(const struct netpoll_conn *conn);

/**
 * Writes the peer's address in the form that netpoll_dialer_dial() takes; an unnamed unix peer is
 * "unix:".
 *
 * @param out   NUL-terminated
 * @param size  bytes of out; NETPOLL_ADDRESS_BYTES is enough
 * @return 0; -ENOSPC when out is too small; -ENOTCONN
 */
NETPOLL_API NETPOLL_MUST_CHECK int netpoll_conn_peer(struct netpoll_conn *conn, char *out,
                                                     size_t size);

/** Writes the connection's own address; otherwise as netpoll_conn_peer(). */
NETPOLL_API NETPOLL_MUST_CHECK int netpoll_conn_local(struct netpoll_conn *conn, char *out,
                                                      size_t size);

/**
 * getsockopt(2) on the descriptor; TCP_INFO of tcp(7) among others.
 *
 * @param value  *size bytes
 * @return 0; -ENOTCONN; what the system says
 */
NETPOLL_API NETPOLL_MUST_CHECK int netpoll_conn_socket_option(struct netpoll_conn *conn, int level,
                                                              int name, void *value, size_t *size);

/** setsockopt(2) on the descriptor. @return 0; -ENOTCONN; what the system says */
NETPOLL_API NETPOLL_MUST_CHECK int netpoll_conn_set_socket_option(struct netpoll_conn *conn,
                                                                  int level, int name,
                                                                  const void *value, size_t size);

/** Figures of one connection. */
struct netpoll_conn_stats {
    uint64_t bytes_in;  /**< received */
    size_t unread;      /**< of those, not consumed */
    size_t unsent;      /**< flushed and not taken by the kernel */
    size_t held_blocks; /**< buffer blocks that unread bytes keep */
    size_t held_bytes;  /**< capacity of those blocks */
};

/** Reads the figures. Thread: handler. */
NETPOLL_API void netpoll_conn_stats_read(struct netpoll_conn *conn, struct netpoll_conn_stats *out);

#ifdef __cplusplus
}
#endif

#endif
