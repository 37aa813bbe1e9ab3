/* rpc_server's frames, one at a time, with handlers that sleep when the frame says so, as one that
 * asks a database would. */
#define _GNU_SOURCE /* NOLINT(readability-identifier-naming): the C library's name for it */
#include "frame.h"
#include "server.h"
#include "sleep_mark.h"

#include <arpa/inet.h>
#include <string.h>
#include <time.h>

/* 0; -EAGAIN when the frame is not complete: the next turn starts when it is. */
static int next_frame(struct netpoll_conn *conn, const char **frame, size_t *bytes)
{
    const void *data;
    uint32_t payload;
    int status = netpoll_conn_peek(conn, FRAME_HEAD_BYTES, &data);
    if (status != 0)
        return status;
    memcpy(&payload, data, sizeof payload);
    *bytes = FRAME_HEAD_BYTES + ntohl(payload);
    status = netpoll_conn_next(conn, *bytes, &data);
    if (status == 0)
        *frame = data;
    return status;
}

static bool has_to_sleep(const char *frame, size_t bytes)
{
    return bytes > FRAME_HEAD_BYTES + SLEEP_MARK_OFFSET &&
           frame[FRAME_HEAD_BYTES + SLEEP_MARK_OFFSET] == SLEEP_MARK;
}

static void on_request(struct netpoll_conn *conn, void *arg)
{
    const struct timespec nap = {.tv_nsec = SLEEP_MS * 1000000L};
    const char *frame;
    size_t bytes;
    (void)arg;
    if (next_frame(conn, &frame, &bytes) != 0)
        return;
    if (has_to_sleep(frame, bytes))
        nanosleep(&nap, NULL);
    if (netpoll_conn_write(conn, frame, bytes) != 0 || netpoll_conn_flush(conn) < 0)
        netpoll_conn_abort(conn);
}

int main(int argc, char **argv)
{
    const struct server_program program = {
        .name = "sleep_server",
        .summary = "Sends frames back; a handler whose frame is marked sleeps 5 ms before.",
        .options = {.on_request = on_request},
    };
    return server_main(&program, argc, argv);
}
