/*
 * A server and everything that may be asked of it at once, for ThreadSanitizer: clients come,
 * sockets are adopted, listened on, duplicated and handed over, and the server shuts down in the
 * middle of it. No descriptor is ever closed twice: close(2) is replaced and looked at.
 */
#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROUNDS        12
#define CLIENTS       3
#define ADOPTERS      2
#define LISTENERS_MAX 12
#define HANDOVERS     3
#define ANSWERS       150

/* The linker gives these names. NOLINTBEGIN(readability-identifier-naming) */
int __real_close(int fd);
int __wrap_close(int fd);
/* NOLINTEND(readability-identifier-naming) */

/* NOLINTNEXTLINE(readability-identifier-naming) */
int __wrap_close(int fd)
{
    int status = __real_close(fd);
    CHECK(status == 0 || errno != EBADF);
    return status;
}

struct race {
    struct rig rig;
    struct netpoll_server *taker;
    /* Relaxed, both: whoever sees them late does a little more. */
    atomic_bool stop;
    _Atomic unsigned answered;
};

static bool goes_on(struct race *race)
{
    return !atomic_load_explicit(&race->stop, memory_order_relaxed);
}

static void *run_client(void *arg)
{
    struct race *race = arg;
    char byte = 'x';
    while (goes_on(race)) {
        int fd = client_try_dial(race->rig.address);
        if (fd < 0)
            continue;
        if (client_try_send(fd, &byte, 1) == 1 && client_try_receive(fd, &byte, 1) == 1)
            atomic_fetch_add_explicit(&race->answered, 1, memory_order_relaxed);
        close(fd);
    }
    return NULL;
}

static void *run_adopter(void *arg)
{
    struct race *race = arg;
    char byte = 'x';
    int fds[2];
    while (goes_on(race)) {
        CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
        int status = netpoll_server_adopt(race->rig.server, fds[1]);
        CHECK(status == 0 || status == -EBUSY || status == -ESHUTDOWN);
        if (status == 0 && client_try_send(fds[0], &byte, 1) == 1)
            (void)client_try_receive(fds[0], &byte, 1);
        if (status != 0)
            close(fds[1]);
        close(fds[0]);
    }
    return NULL;
}

static void *run_listener(void *arg)
{
    struct race *race = arg;
    struct netpoll_server *server = race->rig.server;
    char address[NETPOLL_ADDRESS_BYTES];
    int fds[64];
    for (unsigned i = 0; goes_on(race); i++) {
        size_t listeners = netpoll_server_listeners(server);
        int status = listeners < LISTENERS_MAX ? netpoll_server_listen(server, "127.0.0.1:0") : 0;
        CHECK(status == 0 || status == -ESHUTDOWN);
        status = netpoll_server_address(server, i % LISTENERS_MAX, address, sizeof address);
        CHECK(status == 0 || status == -EINVAL);
        int count = netpoll_server_dup_listeners(server, fds, 64);
        CHECK(count > 0 || count == -ESHUTDOWN);
        while (count > 0)
            close(fds[--count]);
        status = netpoll_server_set_shared(server, i % 2 == 0);
        CHECK(status == 0 || status == -ESHUTDOWN);
    }
    return NULL;
}

struct handover {
    struct netpoll_server *server;
    int fd;
    int status;
};

static void *hand_over(void *arg)
{
    struct handover *handover = arg;
    handover->status = netpoll_server_hand_over(handover->server, handover->fd, DEADLINE_MS);
    return NULL;
}

static void *run_taker(void *arg)
{
    struct race *race = arg;
    for (unsigned i = 0; i < HANDOVERS && goes_on(race); i++) {
        int fds[2];
        pthread_t thread;
        CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
        struct handover handover = {.server = race->rig.server, .fd = fds[0]};
        CHECK(pthread_create(&thread, NULL, hand_over, &handover) == 0);
        /* When the other side does not even begin it ends with its socket's. */
        int status = netpoll_server_take_over(race->taker, fds[1], 2000);
        CHECK(status > 0 || status == -ETIMEDOUT || status == -ESHUTDOWN);
        pthread_join(thread, NULL);
        CHECK(handover.status == 0 || handover.status == -ESHUTDOWN);
        close(fds[0]);
        close(fds[1]);
    }
    return NULL;
}

static void run_round(struct race *race, const struct netpoll_server_options *server_options)
{
    static void *(*const parts[])(void *) = {run_listener, run_taker,   run_client, run_client,
                                             run_client,   run_adopter, run_adopter};
    enum {
        PARTS = sizeof parts / sizeof parts[0]
    };
    struct netpoll_conn_options options = {.on_request = echo_copy};
    pthread_t threads[PARTS];
    *race = (struct race){.rig = {.pollers = 3, .server_options = server_options}};
    rig_start(&race->rig, &options);
    CHECK(netpoll_server_create(race->rig.runtime, &options, server_options, &race->taker) == 0);
    for (unsigned i = 0; i < PARTS; i++)
        CHECK(pthread_create(&threads[i], NULL, parts[i], race) == 0);
    WAIT_UNTIL(atomic_load_explicit(&race->answered, memory_order_relaxed) >= ANSWERS);
    CHECK(netpoll_server_shutdown(race->rig.server, DEADLINE_MS) >= 0);
    atomic_store_explicit(&race->stop, true, memory_order_relaxed);
    /* Who waits for a server at its bound gets the end. */
    CHECK(netpoll_server_shutdown(race->taker, DEADLINE_MS) >= 0);
    for (unsigned i = 0; i < PARTS; i++)
        pthread_join(threads[i], NULL);
    CHECK(netpoll_server_destroy(race->taker) == 0);
    rig_finish(&race->rig);
}

int main(void)
{
    static struct race race;
    static const struct netpoll_server_options options[] = {
        {.backlog = 0},
        {.max_connections = 3},
        {.max_connections = 3, .when_full = NETPOLL_WHEN_FULL_REFUSE},
        {.balancing = NETPOLL_BALANCING_PER_POLLER},
        {.balancing = NETPOLL_BALANCING_ROUND_ROBIN, .shed_after_ms = 1},
        {.balancing = NETPOLL_BALANCING_PER_POLLER, .max_connections = 4},
    };
    if (backend_refusal() != 0)
        return STATUS_SKIPPED;
    for (unsigned i = 0; i < ROUNDS; i++)
        run_round(&race, &options[i % (sizeof options / sizeof options[0])]);
    printf("%d rounds\n", ROUNDS);
    return 0;
}
