/* The transform of a connection: from the wire to the input, from the output to the wire. Poller
 * thread. */
#include "conn.h"

#include <netpoll/transform.h>

#include <errno.h>

/* Encoded bytes that may wait for the socket. */
#define WIRE_BYTES ((size_t)256 * 1024)

struct np_conn_codec *np_conn_codec(const struct netpoll_conn *conn)
{
    if (conn->group->options.transform == NULL)
        return NULL;
    /* Relaxed: it is there since its birth. */
    return &atomic_load_explicit(&conn->extra, memory_order_relaxed)->codec;
}

int np_conn_codec_create(struct netpoll_conn *conn)
{
    struct np_conn_extra *extra;
    if (conn->group->options.transform == NULL)
        return 0;
    int status = np_conn_extra(conn, &extra);
    if (status == 0)
        status = linkbuffer_create(&extra->codec.wire_in);
    if (status == 0)
        status = linkbuffer_create(&extra->codec.wire_out);
    return status;
}

int np_conn_codec_open(struct netpoll_conn *conn)
{
    const struct netpoll_transform *transform = conn->group->options.transform;
    struct np_conn_codec *codec = np_conn_codec(conn);
    if (codec == NULL)
        return 0;
    int status = transform->open(conn, transform->arg, &codec->state);
    if (status == 0)
        codec->transform = transform;
    return status;
}

void np_conn_codec_close(struct netpoll_conn *conn)
{
    struct np_conn_codec *codec = np_conn_codec(conn);
    if (codec == NULL || codec->transform == NULL)
        return;
    codec->transform->close(codec->state);
    codec->transform = NULL;
}

/* What decode has written for the peer, or has made it possible to encode. */
static void send_reply(struct netpoll_conn *conn, const struct np_conn_codec *codec)
{
    if (linkbuffer_unread(codec->wire_out) == 0 && linkbuffer_unread(conn->output.lb) == 0)
        return;
    if (np_state_claim_sender(&conn->state, NP_SENDER_POLLER) > 0)
        np_conn_output_send(conn);
}

int np_conn_decode(struct netpoll_conn *conn, struct linkbuffer_block *block, void *data, size_t n)
{
    struct np_conn_codec *codec = np_conn_codec(conn);
    int status = linkbuffer_adopt(codec->wire_in, block, data, n);
    if (status != 0)
        return status;
    linkbuffer_flush(codec->wire_in);
    status =
        codec->transform->decode(codec->state, codec->wire_in, conn->input.lb, codec->wire_out);
    linkbuffer_release(codec->wire_in);
    linkbuffer_settle(codec->wire_in, NP_SETTLE_LIMIT);
    linkbuffer_flush(codec->wire_out);
    linkbuffer_flush(conn->input.lb);
    if (status == 0 && linkbuffer_unread(codec->wire_in) > conn->group->options.max_message_bytes)
        status = -EMSGSIZE;
    if (status == 0)
        send_reply(conn, codec);
    return status;
}

struct linkbuffer *np_conn_encode(struct netpoll_conn *conn)
{
    struct np_conn_codec *codec = np_conn_codec(conn);
    if (codec == NULL)
        return conn->output.lb;
    struct linkbuffer *plain = conn->output.lb;
    size_t waiting = linkbuffer_unread(codec->wire_out);
    if (linkbuffer_len(plain) == 0 || waiting >= WIRE_BYTES)
        return codec->wire_out;
    int status = np_conn_load_files(conn, WIRE_BYTES - waiting);
    if (status == 0)
        status =
            codec->transform->encode(codec->state, plain, WIRE_BYTES - waiting, codec->wire_out);
    linkbuffer_release(plain);
    linkbuffer_flush(codec->wire_out);
    return status == 0 ? codec->wire_out : NULL;
}

bool np_conn_finish_output(struct netpoll_conn *conn)
{
    struct np_conn_codec *codec = np_conn_codec(conn);
    if (codec == NULL || codec->has_finished || codec->transform->finish == NULL)
        return true;
    codec->has_finished = true;
    if (codec->transform->finish(codec->state, codec->wire_out) != 0 ||
        linkbuffer_flush(codec->wire_out) == 0)
        return true;
    send_reply(conn, codec);
    return np_conn_output_is_idle(conn);
}
