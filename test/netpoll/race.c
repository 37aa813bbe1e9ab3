/*
 * Everything at once, for ThreadSanitizer: clients come, talk and leave as they like while other
 * threads post to, write to, pause, limit, detach, close, abort and let go of the connections they
 * retain, and handlers wait for more; then the server shuts down in the middle of it. Counts must
 * agree at the end.
 */
#include "../support/pattern.h"
#include "rig.h"

#include <linkbuffer/linkbuffer.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CLIENTS     4
#define MEDDLERS    3
#define CONNECTIONS 8000
#define SHELF_SIZE  64
#define CHUNK       ((size_t)1 << 20)

/* A connection as its callbacks and the meddlers share it. */
struct link {
    struct netpoll_conn *conn;
    pthread_mutex_t writing; /* writing calls: one at a time */
    /* Callbacks on their way in and out. Relaxed: that they are never two is what is checked. */
    _Atomic int inside;
    /* The shelf's count and the connection's; release before, acquire at the free. */
    _Atomic int refs;
};

/* What the whole run counts. Relaxed: read when every thread has been joined. */
struct totals {
    _Atomic uint64_t connects;
    _Atomic uint64_t ends;
    _Atomic uint64_t closes;
    _Atomic uint64_t posted;
    _Atomic uint64_t ran;
    _Atomic uint64_t released;
    _Atomic uint64_t lent;
    _Atomic uint64_t detaches;
    _Atomic uint64_t detached;
    _Atomic uint64_t waits; /* that got what they waited for */
};

/* Handles that nobody has in hand. */
struct shelf {
    pthread_mutex_t mutex;
    struct link *links[SHELF_SIZE];
    unsigned count;
};

struct race {
    struct rig rig;
    struct totals totals;
    struct shelf shelf;
    atomic_bool stop; /* orders nothing: whoever sees it late does a little more */
};

static char chunk[CHUNK];

static void count(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static bool is_stopping(struct race *race)
{
    return atomic_load_explicit(&race->stop, memory_order_relaxed);
}

static void drop_link(struct link *link)
{
    if (atomic_fetch_sub_explicit(&link->refs, 1, memory_order_acq_rel) != 1)
        return;
    pthread_mutex_destroy(&link->writing);
    free(link);
}

static void let_go(struct link *link)
{
    netpoll_conn_release(link->conn);
    drop_link(link);
}

/* False: no room, the caller keeps it. */
static bool put_on_shelf(struct shelf *shelf, struct link *link)
{
    pthread_mutex_lock(&shelf->mutex);
    bool has_room = shelf->count < SHELF_SIZE;
    if (has_room)
        shelf->links[shelf->count++] = link;
    pthread_mutex_unlock(&shelf->mutex);
    return has_room;
}

static struct link *take_from_shelf(struct shelf *shelf, uint64_t *random)
{
    struct link *link = NULL;
    pthread_mutex_lock(&shelf->mutex);
    if (shelf->count > 0) {
        unsigned i = (unsigned)random_below(random, shelf->count);
        link = shelf->links[i];
        shelf->links[i] = shelf->links[--shelf->count];
    }
    pthread_mutex_unlock(&shelf->mutex);
    return link;
}

/* Callbacks. */

static void enter(struct link *link)
{
    CHECK(atomic_fetch_add_explicit(&link->inside, 1, memory_order_relaxed) == 0);
}

static void leave(struct link *link)
{
    CHECK(atomic_fetch_sub_explicit(&link->inside, 1, memory_order_relaxed) == 1);
}

static void on_close(struct netpoll_conn *conn, void *arg)
{
    struct link *link = netpoll_conn_data(conn);
    count(&((struct race *)arg)->totals.closes);
    drop_link(link);
}

static int on_prepare(struct netpoll_conn *conn, void *arg)
{
    struct link *link = calloc(1, sizeof *link);
    CHECK(link != NULL);
    pthread_mutex_init(&link->writing, NULL);
    link->conn = conn;
    atomic_init(&link->refs, 1);
    netpoll_conn_set_data(conn, link);
    CHECK(netpoll_conn_add_close_callback(conn, on_close, arg) == 0);
    return 0;
}

static void on_connect(struct netpoll_conn *conn, void *arg)
{
    struct race *race = arg;
    struct link *link = netpoll_conn_data(conn);
    enter(link);
    count(&race->totals.connects);
    leave(link);
    if (netpoll_conn_id(conn) % 2 == 0 && !is_stopping(race)) {
        netpoll_conn_retain(conn);
        atomic_fetch_add_explicit(&link->refs, 1, memory_order_relaxed);
        if (!put_on_shelf(&race->shelf, link))
            let_go(link);
    }
}

/* A moment, for what may come; a poller does not wait. */
static void wait_for_more(struct netpoll_conn *conn, struct race *race)
{
    int status = netpoll_conn_wait(conn, netpoll_conn_len(conn) + 1, 2);
    CHECK(status == 0 || status == NETPOLL_EOF || status == -ECONNRESET || status == -ETIMEDOUT ||
          status == -ESHUTDOWN || status == -EDEADLK || status == -EAGAIN || status == -ENOTCONN);
    if (status == 0)
        count(&race->totals.waits);
}

static void on_request(struct netpoll_conn *conn, void *arg)
{
    struct link *link = netpoll_conn_data(conn);
    enter(link);
    if (netpoll_conn_id(conn) % 8 == 0)
        wait_for_more(conn, arg);
    pthread_mutex_lock(&link->writing);
    echo_copy(conn, arg);
    pthread_mutex_unlock(&link->writing);
    leave(link);
}

static void on_post(struct netpoll_conn *conn, void *arg)
{
    struct link *link = netpoll_conn_data(conn);
    enter(link);
    count(&((struct race *)arg)->totals.ran);
    leave(link);
}

static void on_cancel(struct netpoll_conn *conn, void *arg)
{
    struct race *race = arg;
    if (netpoll_conn_post(conn, on_post, race) == 0)
        count(&race->totals.posted);
}

static void on_disconnect(struct netpoll_conn *conn, enum netpoll_close_reason reason, void *arg)
{
    struct link *link = netpoll_conn_data(conn);
    enter(link);
    CHECK(reason != NETPOLL_CLOSE_NONE);
    CHECK(netpoll_conn_post(conn, on_post, arg) == -ENOTCONN);
    count(&((struct race *)arg)->totals.ends);
    leave(link);
}

/* Meddlers. */

static void note_release(void *arg)
{
    count(&((struct race *)arg)->totals.released);
}

static void write_some(struct race *race, struct link *link, uint64_t *random)
{
    size_t n = random_size(random, CHUNK);
    pthread_mutex_lock(&link->writing);
    if (netpoll_conn_write_ref(link->conn, chunk, n, note_release, race) == 0)
        count(&race->totals.lent);
    if (n % 4 == 0)
        (void)!netpoll_conn_flush_wait(link->conn, 2);
    else
        (void)!netpoll_conn_flush(link->conn);
    pthread_mutex_unlock(&link->writing);
}

static void end_output(struct link *link)
{
    pthread_mutex_lock(&link->writing);
    (void)netpoll_conn_shutdown_write(link->conn);
    pthread_mutex_unlock(&link->writing);
}

static void pause_a_moment(struct link *link)
{
    (void)netpoll_conn_pause(link->conn);
    sched_yield();
    (void)netpoll_conn_resume(link->conn);
}

/* Often none at all, so that some live on. */
static int64_t some_limit(uint64_t *random)
{
    return random_below(random, 2) == 0 ? NETPOLL_TIMEOUT_NONE : (int64_t)random_below(random, 50);
}

static void limit(struct link *link, uint64_t *random)
{
    unsigned which = (unsigned)random_below(random, 6);
    int status =
        which < 4
            ? netpoll_conn_set_timeout(link->conn, (enum netpoll_timeout)which, some_limit(random))
            : netpoll_conn_set_deadline(link->conn, (enum netpoll_deadline)(which - 4),
                                        some_limit(random));
    CHECK(status == 0 || status == -ENOTCONN);
}

static void on_detached(struct netpoll_conn *conn, int fd, struct linkbuffer *unread, void *arg)
{
    struct link *link = netpoll_conn_data(conn);
    enter(link);
    CHECK(fd >= 0 || unread == NULL);
    linkbuffer_destroy(unread);
    if (fd >= 0)
        close(fd);
    count(&((struct race *)arg)->totals.detached);
    leave(link);
}

static void meddle(struct race *race, struct link *link, uint64_t *random)
{
    char address[NETPOLL_ADDRESS_BYTES];
    switch (random_below(random, 18)) {
    case 0:
        netpoll_conn_close(link->conn);
        break;
    case 1:
        netpoll_conn_abort(link->conn);
        break;
    case 2:
        (void)!netpoll_conn_is_active(link->conn);
        (void)!netpoll_conn_peer(link->conn, address, sizeof address);
        break;
    case 3:
        end_output(link);
        break;
    case 4:
        if (netpoll_conn_detach(link->conn, on_detached, race) == 0)
            count(&race->totals.detaches);
        break;
    case 5:
    case 6:
    case 7:
        limit(link, random);
        break;
    case 8:
    case 9:
    case 10:
        pause_a_moment(link);
        break;
    case 11:
    case 12:
        if (netpoll_conn_post(link->conn, on_post, race) == 0)
            count(&race->totals.posted);
        break;
    default:
        write_some(race, link, random);
    }
}

static void *run_meddler(void *arg)
{
    struct race *race = arg;
    uint64_t random = (uint64_t)syscall(SYS_gettid);
    struct link *link;
    while ((link = take_from_shelf(&race->shelf, &random)) != NULL || !is_stopping(race)) {
        if (link == NULL) {
            sched_yield();
            continue;
        }
        meddle(race, link, &random);
        if (is_stopping(race) || random_below(&random, 4) == 0 || !put_on_shelf(&race->shelf, link))
            let_go(link);
    }
    return NULL;
}

/* Clients. */

static void talk(int fd, uint64_t *random, char *room)
{
    for (uint64_t rounds = random_below(random, 5); rounds > 0; rounds--) {
        size_t n = random_size(random, 65536);
        if (client_try_send(fd, chunk, n) != n || client_try_receive(fd, room, n) != n)
            return;
    }
}

static void *run_client(void *arg)
{
    const struct race *race = arg;
    uint64_t random = (uint64_t)syscall(SYS_gettid);
    char *room = malloc(65536);
    CHECK(room != NULL);
    int fd;
    /* Refused: the server has shut down. */
    while ((fd = client_try_dial(race->rig.address)) >= 0) {
        talk(fd, &random, room);
        switch (random_below(&random, 3)) {
        case 0:
            client_reset(fd);
            break;
        case 1:
            (void)shutdown(fd, SHUT_WR);
            (void)client_drain(fd);
            client_close(fd);
            break;
        default:
            client_close(fd);
        }
    }
    free(room);
    return NULL;
}

static void run(enum netpoll_handler mode, const char *listen)
{
    static struct race race;
    pthread_t threads[CLIENTS + MEDDLERS];
    struct netpoll_conn_options options = {.on_prepare = on_prepare,
                                           .on_connect = on_connect,
                                           .on_request = on_request,
                                           .on_disconnect = on_disconnect,
                                           .on_cancel = on_cancel,
                                           .arg = &race,
                                           .handler = mode,
                                           .close_timeout_ms = 200};
    memset(&race, 0, sizeof race);
    race.rig.listen = listen;
    pthread_mutex_init(&race.shelf.mutex, NULL);
    rig_start(&race.rig, &options);
    for (unsigned i = 0; i < CLIENTS + MEDDLERS; i++)
        CHECK(pthread_create(&threads[i], NULL, i < CLIENTS ? run_client : run_meddler, &race) ==
              0);
    WAIT_UNTIL(atomic_load_explicit(&race.totals.connects, memory_order_relaxed) >= CONNECTIONS);
    atomic_store_explicit(&race.stop, true, memory_order_relaxed);
    CHECK(netpoll_server_shutdown(race.rig.server, 50) >= 0);
    for (unsigned i = 0; i < CLIENTS + MEDDLERS; i++)
        pthread_join(threads[i], NULL);
    rig_finish(&race.rig);
    pthread_mutex_destroy(&race.shelf.mutex);
    printf("%lu connections, %lu posts, %lu writes\n", (unsigned long)race.totals.connects,
           (unsigned long)race.totals.ran, (unsigned long)race.totals.released);
    CHECK(race.totals.connects > 0);
    CHECK(race.totals.connects == race.totals.ends);
    CHECK(race.totals.connects == race.totals.closes);
    CHECK(race.totals.posted == race.totals.ran);
    CHECK(race.totals.lent == race.totals.released);
    CHECK(race.totals.detaches == race.totals.detached);
    CHECK(race.totals.detached > 0);
    CHECK(mode == NETPOLL_HANDLER_INLINE || race.totals.waits > 0);
}

int main(void)
{
    char unix_name[64];
    int error = backend_refusal();
    if (error != 0) {
        fprintf(stderr, "skipped: io_uring is refused here: %s\n", strerror(error));
        return STATUS_SKIPPED;
    }
    snprintf(unix_name, sizeof unix_name, "unix:@netpoll-race-%d", (int)getpid());
    run(NETPOLL_HANDLER_POOL, NULL);
    run(NETPOLL_HANDLER_INLINE, NULL);
    run(NETPOLL_HANDLER_POOL, unix_name);
    run(NETPOLL_HANDLER_INLINE, unix_name);
    return 0;
}
