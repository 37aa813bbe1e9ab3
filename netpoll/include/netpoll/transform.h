/**
 * Byte transforms: what stands between the descriptor of a connection and its buffers, TLS for
 * example. Handlers see decoded bytes and write plain ones.
 *
 * With a transform every send is made by the poller, and input is handed to it before anybody sees
 * it: what the reactor saves by adopting blocks and by sending from the handler's thread is lost.
 *
 * Threads: every function runs on the connection's poller, one at a time for a connection. None
 * may block or panic. Errors: a negative errno value ends the connection with
 * NETPOLL_CLOSE_ERROR.
 */
#ifndef NETPOLL_TRANSFORM_H
#define NETPOLL_TRANSFORM_H

#include <netpoll/conn_options.h>
#include <netpoll/export.h>

#ifdef __cplusplus
extern "C" {
#endif

struct linkbuffer;

/** A set of functions; the state of a connection is handed to each. */
struct netpoll_transform {
    /**
     * Begins a connection, before its on_connect.
     *
     * @param state  handed to the other functions
     * @return 0; on failure the connection is dropped as by on_prepare, and close is not called
     */
    int (*open)(struct netpoll_conn *conn, void *arg, void **state);
    /**
     * Takes bytes that have come: consumes of wire what it can, writes decoded bytes to plain, and
     * bytes for the peer, those of a handshake for example, to reply. The caller flushes and
     * releases.
     */
    int (*decode)(void *state, struct linkbuffer *wire, struct linkbuffer *plain,
                  struct linkbuffer *reply);
    /**
     * Takes bytes that are to be sent: consumes up to max bytes of plain and writes what is sent
     * for them to wire. What it cannot send yet stays in plain and is offered again after the
     * next decode.
     */
    int (*encode)(void *state, struct linkbuffer *plain, size_t max, struct linkbuffer *wire);
    /** Writes what the peer is to get behind the last byte. NULL: nothing */
    int (*finish)(void *state, struct linkbuffer *wire);
    /** Ends a connection; the last call for it. */
    void (*close)(void *state);
    void *arg; /**< handed to open */
};

#ifdef __cplusplus
}
#endif

#endif
