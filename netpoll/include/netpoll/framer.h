/**
 * Framers: how a stream of bytes is cut into messages.
 *
 * With a framer on_request is called when a whole frame is unread, so that a slow peer holds no
 * worker; netpoll_conn_next_frame() consumes it. The size of a frame is found by the poller or by
 * the turn before, whoever has the connection's turn. Memory grows with the bytes that have come,
 * never with the length that a head claims.
 *
 * A frame above the limit, or one that is no frame, is not received: on_request is called once
 * more, netpoll_conn_next_frame() gives -EMSGSIZE or -EBADMSG, and when it returns the connection
 * closes, after its output. The other reading calls go on working on what is there.
 */
#ifndef NETPOLL_FRAMER_H
#define NETPOLL_FRAMER_H

#include <netpoll/conn_options.h>
#include <netpoll/export.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Kinds of framers. */
enum netpoll_framer_kind {
    NETPOLL_FRAMER_LENGTH = 0, /**< a field in the head holds the length */
    NETPOLL_FRAMER_LINE = 1,   /**< a byte ends the frame and belongs to it */
    NETPOLL_FRAMER_FIXED = 2,  /**< every frame is as long */
    NETPOLL_FRAMER_CUSTOM = 3, /**< a function of the user's tells */
};

/**
 * Tells how long the frame at the head of the input is.
 *
 * It looks by netpoll_conn_peek() and netpoll_conn_len() and consumes nothing.
 *
 * @param frame_bytes  bytes of the whole frame, at least 1
 * @return 0; the -EAGAIN of netpoll_conn_peek(), which has stated how much it needs; -EBADMSG, or
 *         any other error: what has come is no frame
 *
 * A panic in it closes the connection, as one in any callback does.
 *
 * Thread: poller or handler, not at the same time as another callback of the connection. It must
 * not block.
 */
typedef int netpoll_frame_fn(struct netpoll_conn *conn, size_t *frame_bytes, void *arg);

/** Fields that do not belong to the kind are not read. */
struct netpoll_framer {
    enum netpoll_framer_kind kind;
    uint8_t delimiter;      /**< of NETPOLL_FRAMER_LINE, '\n' for lines */
    size_t max_frame_bytes; /**< 0: max_message_bytes of the connection's options; else at most
                                 that */
    struct {
        uint32_t offset;    /**< bytes before the field; with it at most the limit */
        uint32_t bytes;     /**< of the field: 1, 2, 3, 4 or 8 */
        bool little_endian; /**< false: network byte order */
        int32_t adjust;     /**< bytes behind the field less what it says: 0 when it counts what
                                 follows it, -(offset + bytes) when it counts the whole frame */
    } length;               /**< of NETPOLL_FRAMER_LENGTH */
    size_t fixed_bytes;     /**< of NETPOLL_FRAMER_FIXED; at most the limit */
    netpoll_frame_fn *fn;   /**< of NETPOLL_FRAMER_CUSTOM */
    void *arg;              /**< handed to fn */
};

/**
 * Consumes the frame at the head of the input and shows it in one piece, head or delimiter
 * included.
 *
 * @param out  the bytes; untouched on failure
 * @param n    how many; untouched on failure
 * @return 0; -EAGAIN when no whole frame is there, netpoll_conn_wait() tells how to wait for it;
 *         NETPOLL_EOF when the peer has ended within a
 *         frame or between two; -EMSGSIZE when the frame is above the limit; -EBADMSG when it is no
 *         frame; -ETIMEDOUT when the rest did not come in time; -EINVAL without a framer;
 *         -ECONNRESET; -ENOMEM; -ENOTCONN
 *
 * Thread: handler, or who reads a connection without on_request.
 * Memory: lends the bytes until the handler returns.
 */
NETPOLL_API NETPOLL_MUST_CHECK int netpoll_conn_next_frame(struct netpoll_conn *conn,
                                                           const void **out, size_t *n);

#ifdef __cplusplus
}
#endif

#endif
