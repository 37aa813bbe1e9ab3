/* Cuts the input into frames: finds the size of the one at its head. Whoever has the turn. */
#include "conn.h"

#include <netpoll/error.h>
#include <netpoll/framer.h>

#include <errno.h>

static size_t limit_of(const struct netpoll_conn *conn)
{
    const struct netpoll_conn_options *options = &conn->group->options;
    size_t own = options->framer->max_frame_bytes;
    return own != 0 ? own : options->max_message_bytes;
}

static uint64_t read_field(const struct netpoll_framer *framer, const uint8_t *field)
{
    uint32_t n = framer->length.bytes;
    uint64_t value = 0;
    for (uint32_t i = 0; i < n; i++)
        value = value << 8 | field[framer->length.little_endian ? n - 1 - i : i];
    return value;
}

static int measure_length(struct netpoll_conn *conn, const struct netpoll_framer *framer,
                          size_t *bytes)
{
    size_t head = (size_t)framer->length.offset + framer->length.bytes;
    const void *data;
    int status = netpoll_conn_peek(conn, head, &data);
    if (status != 0)
        return status;
    uint64_t rest = read_field(framer, (const uint8_t *)data + framer->length.offset);
    if (rest > NETPOLL_MESSAGE_BYTES_MAX)
        return -EMSGSIZE;
    int64_t whole = (int64_t)head + (int64_t)rest + framer->length.adjust;
    if (whole < (int64_t)head)
        return -EBADMSG;
    *bytes = (size_t)whole;
    return 0;
}

static int measure_line(struct netpoll_conn *conn, const struct netpoll_framer *framer,
                        size_t *bytes)
{
    size_t unread = linkbuffer_len(conn->input.lb);
    ssize_t offset = np_conn_find(conn, framer->delimiter);
    if (offset < 0 && offset != -ENOTCONN && unread >= limit_of(conn))
        return -EMSGSIZE;
    if (offset < 0)
        return (int)offset;
    *bytes = (size_t)offset + 1;
    return 0;
}

struct framer_call {
    int status;
    size_t bytes;
};

static void call_framer(struct netpoll_conn *conn, void *arg)
{
    const struct netpoll_framer *framer = conn->group->options.framer;
    struct framer_call *call = arg;
    call->status = framer->fn(conn, &call->bytes, framer->arg);
}

/* Its panic closes the connection, like that of any other callback; one that ends without telling
 * has found no frame. */
static int measure_custom(struct netpoll_conn *conn, size_t *bytes)
{
    struct framer_call call = {.status = -EBADMSG};
    np_conn_call(conn, call_framer, &call);
    *bytes = call.bytes;
    return netpoll_conn_is_active(conn) ? call.status : -ENOTCONN;
}

static int measure(struct netpoll_conn *conn, size_t *bytes)
{
    const struct netpoll_framer *framer = conn->group->options.framer;
    switch (framer->kind) {
    case NETPOLL_FRAMER_LENGTH:
        return measure_length(conn, framer, bytes);
    case NETPOLL_FRAMER_LINE:
        return measure_line(conn, framer, bytes);
    case NETPOLL_FRAMER_FIXED:
        *bytes = framer->fixed_bytes;
        return 0;
    default:
        return measure_custom(conn, bytes);
    }
}

/* Checked: a frame that a function of the user's tells may be anything. */
static int measure_within_limit(struct netpoll_conn *conn)
{
    size_t bytes = 0;
    int status = measure(conn, &bytes);
    if (status == 0 && bytes == 0)
        return -EBADMSG;
    if (status == 0 && bytes > limit_of(conn))
        return -EMSGSIZE;
    if (status == 0) {
        np_conn_set_frame(conn, bytes);
        np_conn_set_need(conn, bytes);
    }
    return status;
}

int np_conn_measure_frame(struct netpoll_conn *conn)
{
    struct np_conn_input *input = &conn->input;
    if (np_conn_frame(conn) != 0)
        return 0;
    /* Relaxed: ordered by the state word, see struct np_conn_input. */
    int status = atomic_load_explicit(&input->fault, memory_order_relaxed);
    if (status != 0)
        return status;
    status = measure_within_limit(conn);
    /* These tell that more has to come, or never will; the rest that it is no frame. */
    if (status != 0 && status != -EAGAIN && status != NETPOLL_EOF && status != -ECONNRESET &&
        status != -ENOTCONN)
        atomic_store_explicit(&input->fault, (int16_t)status, memory_order_relaxed);
    return status;
}

int netpoll_conn_next_frame(struct netpoll_conn *conn, const void **out, size_t *n)
{
    if (conn->group->options.framer == NULL)
        return -EINVAL;
    int status = np_conn_want(conn, 1);
    if (status != 0)
        return status;
    status = np_conn_measure_frame(conn);
    if (status != 0)
        return status;
    size_t bytes = np_conn_frame(conn);
    status = netpoll_conn_next(conn, bytes, out);
    if (status != 0)
        return status;
    *n = bytes;
    np_conn_set_frame(conn, 0);
    return 0;
}
