/* Sends every byte back. The bytes are never copied: what was read is sliced off the input and
 * appended to the output as it lies. */
#include "server.h"

#include <linkbuffer/linkbuffer.h>

/* 0 or a negative error. */
static int echo(struct netpoll_conn *conn)
{
    struct linkbuffer *bytes;
    int status = netpoll_conn_slice(conn, netpoll_conn_len(conn), &bytes);
    if (status != 0)
        return status;
    status = netpoll_conn_append(conn, bytes);
    linkbuffer_destroy(bytes);
    return status != 0 ? status : netpoll_conn_flush(conn);
}

/* Called when there is something to read. While more than 1 MiB waits to be sent it is not called,
 * so a peer that only sends cannot fill the memory. */
static void on_request(struct netpoll_conn *conn, void *arg)
{
    (void)arg;
    if (echo(conn) < 0)
        netpoll_conn_abort(conn);
}

int main(int argc, char **argv)
{
    const struct server_program program = {
        .name = "echo_server",
        .summary = "Sends every byte back to where it came from.",
        .options = {.on_request = on_request},
    };
    return server_main(&program, argc, argv);
}
