/* Answers frames: a length, 32 bits in network order, then that many bytes. Each answer is an
 * object of its own with the content of the request, as in a call that computes something. */
#include "server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define HEAD_BYTES    sizeof(uint32_t)
#define PAYLOAD_BYTES ((uint32_t)16 << 20) /* most that a frame may carry */

static int write_frame(struct netpoll_conn *conn, const void *payload, uint32_t n)
{
    void *frame;
    int status = netpoll_conn_reserve(conn, HEAD_BYTES + n, &frame);
    if (status != 0)
        return status;
    uint32_t head = htonl(n);
    memcpy(frame, &head, HEAD_BYTES);
    memcpy((char *)frame + HEAD_BYTES, payload, n);
    return 0;
}

/* Says why, then ends the connection: what follows the head is not going to be read. */
static int refuse(struct netpoll_conn *conn, uint32_t n)
{
    char text[64];
    int length =
        snprintf(text, sizeof text, "error: frame of %u bytes is above %u", n, PAYLOAD_BYTES);
    int status = write_frame(conn, text, (uint32_t)length);
    if (status == 0)
        status = netpoll_conn_flush(conn);
    return status < 0 ? status : netpoll_conn_close(conn);
}

/* 0; -EAGAIN when the frame is not complete: the next turn starts when it is. */
static int answer_one(struct netpoll_conn *conn)
{
    const void *bytes;
    int status = netpoll_conn_peek(conn, HEAD_BYTES, &bytes);
    if (status != 0)
        return status;
    uint32_t n;
    memcpy(&n, bytes, HEAD_BYTES);
    n = ntohl(n);
    if (n > PAYLOAD_BYTES)
        return refuse(conn, n);
    status = netpoll_conn_next(conn, HEAD_BYTES + n, &bytes);
    if (status != 0)
        return status;
    return write_frame(conn, (const char *)bytes + HEAD_BYTES, n);
}

/* Answers every frame that is complete and sends the answers together. */
static void on_request(struct netpoll_conn *conn, void *arg)
{
    (void)arg;
    int status;
    do
        status = answer_one(conn);
    while (status == 0);
    if (status == -ENOTCONN)
        return; /* it has ended, or this handler has closed it */
    if (netpoll_conn_flush(conn) < 0 || (status != -EAGAIN && status != NETPOLL_EOF))
        netpoll_conn_abort(conn);
}

int main(int argc, char **argv)
{
    const struct server_program program = {
        .name = "rpc_server",
        .summary = "Answers frames (u32 big-endian length + payload) with the same content.",
        .options = {.on_request = on_request},
    };
    return server_main(&program, argc, argv);
}
