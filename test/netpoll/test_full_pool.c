/* A pool that is full holds its connections up and loses nothing: one worker, room for one task. */
#include "rig.h"

#include <gopool/gopool.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <time.h>

TestSuite(full_pool, .timeout = 60);

#define CONNECTIONS 32
#define FRAMES      20
#define POSTS       50

/* What a frame says, and its answer. */
struct frame {
    uint32_t connection;
    uint32_t number;
};

struct served {
    struct event connects;
    struct event posts;
    /* Retained; written in turns and read after the event. */
    struct netpoll_conn *conns[CONNECTIONS];
    _Atomic uint32_t count; /* relaxed: gives each its place, the event publishes what is there */
};

#define SERVED_INIT                                 \
    {                                               \
        .connects = EVENT_INIT, .posts = EVENT_INIT \
    }

static void block_a_little(void)
{
    const struct timespec while_others_wait = {.tv_nsec = 200000};
    nanosleep(&while_others_wait, NULL);
}

static void keep_conn(struct netpoll_conn *conn, void *arg)
{
    struct served *served = arg;
    uint32_t place = atomic_fetch_add_explicit(&served->count, 1, memory_order_relaxed);
    netpoll_conn_retain(conn);
    served->conns[place] = conn;
    event_add(&served->connects);
}

/* One frame a call. */
static void answer_slowly(struct netpoll_conn *conn, void *arg)
{
    const void *frame;
    (void)arg;
    if (netpoll_conn_next(conn, sizeof(struct frame), &frame) != 0)
        return;
    block_a_little();
    CHECK(netpoll_conn_write(conn, frame, sizeof(struct frame)) == 0);
    CHECK(netpoll_conn_flush(conn) == 0);
}

static const struct gopool_options narrow = {.name = "narrow", .cap = 1, .queue_limit = 1};

static void start_rig(struct rig *rig, netpoll_conn_fn *on_connect, struct served *served)
{
    const struct netpoll_conn_options options = {
        .on_connect = on_connect, .on_request = answer_slowly, .arg = served};
    if (rig->own_pool == NULL)
        rig->own_pool = &narrow;
    rig_start(rig, &options);
}

static uint64_t full_count(const struct rig *rig)
{
    struct gopool_stats stats;
    gopool_stats_read(rig->pool, &stats);
    return stats.full_count;
}

static void expect_it_was_full(const struct rig *rig)
{
    cr_assert_gt(full_count(rig), 0);
}

static void dial_all(const struct rig *rig, int fds[CONNECTIONS])
{
    for (uint32_t i = 0; i < CONNECTIONS; i++)
        fds[i] = rig_dial(rig);
}

/* Each connection's frames at once, so that the server finds several wherever it looks. */
static void send_frames(const int fds[CONNECTIONS])
{
    struct frame frames[FRAMES];
    for (uint32_t i = 0; i < CONNECTIONS; i++) {
        for (uint32_t k = 0; k < FRAMES; k++)
            frames[k] = (struct frame){.connection = i, .number = k};
        client_send(fds[i], frames, sizeof frames);
    }
}

static void expect_answers(const int fds[CONNECTIONS])
{
    struct frame frames[FRAMES];
    for (uint32_t i = 0; i < CONNECTIONS; i++) {
        CHECK(client_receive(fds[i], frames, sizeof frames) == sizeof frames);
        for (uint32_t k = 0; k < FRAMES; k++)
            CHECK(frames[k].connection == i && frames[k].number == k);
    }
}

static void close_all(const int fds[CONNECTIONS])
{
    for (uint32_t i = 0; i < CONNECTIONS; i++)
        client_close(fds[i]);
}

static void expect_answers_in_order(const struct gopool_options *own_pool)
{
    struct rig rig = {.own_pool = own_pool};
    int fds[CONNECTIONS];
    start_rig(&rig, NULL, NULL);
    dial_all(&rig, fds);
    send_frames(fds);
    expect_answers(fds);
    cr_assert_geq(rig_stats(&rig).requests, CONNECTIONS * FRAMES);
    close_all(fds);
    expect_it_was_full(&rig);
    rig_finish_when_idle(&rig);
}

Test(full_pool, every_frame_is_answered_in_order)
{
    expect_answers_in_order(&narrow);
}

static void wait_for_gate(void *arg)
{
    while (sem_wait(arg) != 0)
        continue;
}

/* With its worker and the room of its queue taken until the gate is opened twice. */
static void take_all(struct gopool *pool, sem_t *gate)
{
    struct gopool_stats stats;
    sem_init(gate, 0, 0);
    cr_assert_eq(gopool_go(pool, wait_for_gate, gate), 0);
    do {
        gopool_stats_read(pool, &stats);
    } while (stats.queued != 0);
    cr_assert_eq(gopool_go(pool, wait_for_gate, gate), 0);
}

/* A poller neither waits for room nor runs handlers, whatever the pool does with others. */
Test(full_pool, what_it_does_when_full_is_for_others)
{
    for (enum gopool_when_full policy = GOPOOL_WHEN_FULL_BLOCK;
         policy <= GOPOOL_WHEN_FULL_CALLER_RUNS; policy++) {
        struct gopool_options own_pool = narrow;
        struct rig rig = {.own_pool = &own_pool, .pollers = 1};
        struct frame frames[FRAMES];
        sem_t gate;
        own_pool.when_full = policy;
        start_rig(&rig, NULL, NULL);
        take_all(rig.pool, &gate);
        int fd = rig_dial(&rig);
        for (uint32_t k = 0; k < FRAMES; k++)
            frames[k] = (struct frame){.number = k};
        client_send(fd, frames, sizeof frames);
        WAIT_UNTIL(rig_stats(&rig).bytes_in == sizeof frames);
        WAIT_UNTIL(full_count(&rig) > 0);
        /* The poller is not held up. */
        int other = rig_dial(&rig);
        WAIT_UNTIL(rig_stats(&rig).connections == 2);
        cr_assert_eq(rig_stats(&rig).requests, 0);
        sem_post(&gate);
        sem_post(&gate);
        CHECK(client_receive(fd, frames, sizeof frames) == sizeof frames);
        for (uint32_t k = 0; k < FRAMES; k++)
            CHECK(frames[k].number == k);
        client_close(fd);
        client_close(other);
        rig_finish_when_idle(&rig);
    }
}

Test(full_pool, what_has_come_is_answered_at_shutdown)
{
    struct rig rig = {0};
    int fds[CONNECTIONS];
    start_rig(&rig, NULL, NULL);
    dial_all(&rig, fds);
    WAIT_UNTIL(rig_stats(&rig).connections == CONNECTIONS);
    send_frames(fds);
    cr_assert_eq(netpoll_server_shutdown(rig.server, DEADLINE_MS), 0);
    expect_answers(fds);
    for (uint32_t i = 0; i < CONNECTIONS; i++)
        cr_assert(client_sees_end(fds[i]));
    close_all(fds);
    expect_it_was_full(&rig);
    rig_finish(&rig);
}

static void count_post(struct netpoll_conn *conn, void *arg)
{
    struct served *served = arg;
    (void)conn;
    event_add(&served->posts);
}

static void *post_to_all(void *arg)
{
    struct served *served = arg;
    for (unsigned k = 0; k < POSTS; k++) {
        for (unsigned i = 0; i < CONNECTIONS; i++)
            CHECK(netpoll_conn_post(served->conns[i], count_post, served) == 0);
    }
    return NULL;
}

/* A post on another thread than the poller meets the full pool itself. */
Test(full_pool, every_post_runs)
{
    struct rig rig = {0};
    struct served served = SERVED_INIT;
    int fds[CONNECTIONS];
    pthread_t thread;
    start_rig(&rig, keep_conn, &served);
    dial_all(&rig, fds);
    event_wait(&served.connects, CONNECTIONS);
    cr_assert_eq(pthread_create(&thread, NULL, post_to_all, &served), 0);
    send_frames(fds);
    expect_answers(fds);
    pthread_join(thread, NULL);
    event_wait(&served.posts, CONNECTIONS * POSTS);
    for (unsigned i = 0; i < CONNECTIONS; i++)
        netpoll_conn_release(served.conns[i]);
    close_all(fds);
    expect_it_was_full(&rig);
    rig_finish_when_idle(&rig);
}

static void run_foreign(void *arg)
{
    block_a_little();
    event_add(arg);
}

/* The pool is not the runtime's alone: what others submit goes on too. */
Test(full_pool, is_shared_with_other_tasks)
{
    struct rig rig = {0};
    struct event ran = EVENT_INIT;
    int fds[CONNECTIONS];
    uint64_t accepted = 0;
    start_rig(&rig, NULL, NULL);
    dial_all(&rig, fds);
    send_frames(fds);
    /* Each only when the one before has run, or it would take every place for itself. */
    while (accepted < 50) {
        int status = gopool_go(rig.pool, run_foreign, &ran);
        cr_assert(status == 0 || status == -EAGAIN, "%d", status);
        if (status == 0)
            event_wait(&ran, ++accepted);
    }
    expect_answers(fds);
    close_all(fds);
    expect_it_was_full(&rig);
    rig_finish_when_idle(&rig);
}
