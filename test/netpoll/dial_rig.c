/* Dialers on a rig, and deaf peers. */
#include "dial_rig.h"

#include "../support/pattern.h"
#include "../support/process.h"
#include "address.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void dial_rig_start(struct dial_rig *rig)
{
    if (rig->server.on_request == NULL)
        rig->server.on_request = echo_copy;
    rig_start(&rig->rig, &rig->server);
    CHECK(netpoll_dialer_create(rig->rig.runtime, &rig->conn, &rig->options, &rig->dialer) == 0);
}

void dial_rig_finish(struct dial_rig *rig)
{
    CHECK(netpoll_dialer_shutdown(rig->dialer, DEADLINE_MS) == 0);
    CHECK(netpoll_dialer_destroy(rig->dialer) == 0);
    rig_finish_when_idle(&rig->rig);
}

struct netpoll_conn *dial(struct dial_rig *rig, const char *address)
{
    struct netpoll_conn *conn;
    CHECK(netpoll_dialer_dial(rig->dialer, address, DEADLINE_MS, &conn) == 0);
    CHECK(conn != NULL);
    return conn;
}

int failing_dial(struct dial_rig *rig, const char *address, int64_t timeout_ms)
{
    struct netpoll_conn *conn = (struct netpoll_conn *)rig;
    int status = netpoll_dialer_dial(rig->dialer, address, timeout_ms, &conn);
    CHECK(status != 0 && conn == NULL);
    return status;
}

void expect_conn_echo(struct netpoll_conn *conn, uint64_t seed, size_t n)
{
    const void *back;
    char *data = malloc(n);
    CHECK(data != NULL);
    pattern_fill(seed, 0, data, n);
    CHECK(netpoll_conn_write(conn, data, n) == 0);
    CHECK(netpoll_conn_flush(conn) >= 0);
    CHECK(netpoll_conn_wait(conn, n, DEADLINE_MS) == 0);
    CHECK(netpoll_conn_next(conn, n, &back) == 0);
    CHECK(pattern_matches(seed, 0, back, n));
    free(data);
}

static void note_end(struct netpoll_conn *conn, void *arg)
{
    (void)conn;
    event_add(arg);
}

void hang_up(struct netpoll_conn *conn)
{
    struct event end = EVENT_INIT;
    if (netpoll_conn_add_close_callback(conn, note_end, &end) == 0) {
        (void)netpoll_conn_close(conn);
        event_wait(&end, 1);
    }
    netpoll_conn_release(conn);
}

void note_outcome(struct netpoll_conn *conn, int status, void *arg)
{
    struct outcome *outcome = arg;
    CHECK((conn != NULL) == (status == 0));
    outcome->conn = conn;
    outcome->status = status;
    outcome->on_poller = is_thread_named("poller");
    event_add(&outcome->told);
}

static int filler(const struct np_address *address)
{
    int fd = socket(address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    CHECK(fd >= 0);
    int status = connect(fd, (const struct sockaddr *)&address->storage, address->len);
    CHECK(status == 0 || errno == EINPROGRESS || errno == EAGAIN);
    return fd;
}

void deaf_start(struct deaf *deaf, const char *text)
{
    struct np_address address;
    *deaf = (struct deaf){.count = sizeof deaf->fillers / sizeof deaf->fillers[0]};
    CHECK(np_address_parse(text, &address) == 0);
    deaf->listener = socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(deaf->listener >= 0);
    CHECK(bind(deaf->listener, (struct sockaddr *)&address.storage, address.len) == 0);
    CHECK(listen(deaf->listener, 0) == 0);
    CHECK(np_address_of_socket(deaf->listener, deaf->address, sizeof deaf->address) == 0);
    CHECK(np_address_parse(deaf->address, &address) == 0);
    for (unsigned i = 0; i < deaf->count; i++)
        deaf->fillers[i] = filler(&address);
}

void deaf_listen_at_last(struct deaf *deaf)
{
    CHECK(listen(deaf->listener, 64) == 0);
}

void deaf_finish(struct deaf *deaf)
{
    for (unsigned i = 0; i < deaf->count; i++)
        client_close(deaf->fillers[i]);
    client_close(deaf->listener);
}

void free_address(char *out, size_t size)
{
    struct np_address address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0 && np_address_parse("127.0.0.1:0", &address) == 0);
    CHECK(bind(fd, (struct sockaddr *)&address.storage, address.len) == 0);
    CHECK(np_address_of_socket(fd, out, size) == 0);
    client_close(fd);
}
