/* Whose turn it is: when callbacks run, in which order, and never two at once. */
#include "../support/pattern.h"
#include "../support/process.h"
#include "rig.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

TestSuite(conn_dispatch, .timeout = 60);

/* What handlers saw; each member is written in turns and read after their event. */
struct turns {
    struct grab grab; /* first: see grab_conn() */
    struct event calls;
    size_t wanted;
    int status;
    size_t len;
};

#define TURNS_INIT                             \
    {                                          \
        .grab = GRAB_INIT, .calls = EVENT_INIT \
    }

/* Takes the wanted bytes in one piece, or nothing. */
static void take_wanted(struct netpoll_conn *conn, void *arg)
{
    struct turns *turns = arg;
    const void *data;
    turns->len = netpoll_conn_len(conn);
    turns->status = netpoll_conn_next(conn, turns->wanted, &data);
    if (turns->status == 0) {
        CHECK(pattern_matches(1, 0, data, turns->wanted));
        CHECK(netpoll_conn_write(conn, "+", 1) == 0);
        CHECK(netpoll_conn_flush(conn) == 0);
    }
    event_add(&turns->calls);
}

/* A whole request on a connection of its own: what came before it has been looked at. */
static void pass_by(const struct rig *rig, const char *request, size_t n)
{
    char answer;
    int fd = rig_dial(rig);
    client_send(fd, request, n);
    CHECK(client_receive(fd, &answer, 1) == 1);
    client_close(fd);
}

TEST_BOTH_MODES(conn_dispatch, too_little_waits_for_what_was_asked_for)
{
    struct turns turns = TURNS_INIT;
    struct rig rig = {.pollers = 1};
    struct netpoll_conn_options options = {
        .on_request = take_wanted, .handler = *mode, .arg = &turns};
    char request[100];
    char answer;
    pattern_fill(1, 0, request, sizeof request);
    turns.wanted = sizeof request;
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    client_send(fd, request, 10);
    event_wait(&turns.calls, 1);
    cr_assert_eq(turns.status, -EAGAIN);
    cr_assert_eq(turns.len, 10);
    client_send(fd, request + 10, 50);
    pass_by(&rig, request, sizeof request);
    client_send(fd, request + 60, 39);
    pass_by(&rig, request, sizeof request);
    client_send(fd, request + 99, 1);
    cr_assert_eq(client_receive(fd, &answer, 1), 1);
    client_close(fd);
    WAIT_UNTIL(rig_stats(&rig).connections == 0);
    cr_assert_eq(rig_stats(&rig).requests, 4, "one in vain, two that passed by, the whole one");
    rig_finish(&rig);
}

TEST_BOTH_MODES(conn_dispatch, the_peers_end_overrides_what_was_asked_for)
{
    struct turns turns = TURNS_INIT;
    struct rig rig = {0};
    struct netpoll_conn_options options = {
        .on_request = take_wanted, .handler = *mode, .arg = &turns};
    turns.wanted = 100;
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    client_send(fd, "0123456789", 10);
    event_wait(&turns.calls, 1);
    client_end_sending(fd);
    event_wait(&turns.calls, 2);
    cr_assert_eq(turns.status, NETPOLL_EOF);
    cr_assert_eq(turns.len, 10);
    cr_assert(client_sees_end(fd));
    client_close(fd);
    WAIT_UNTIL(rig_stats(&rig).connections == 0);
    cr_assert_eq(rig_stats(&rig).requests, 2);
    rig_finish(&rig);
}

/* Answers 20 bytes; leaves what is less. */
static void leave_less_than_20(struct netpoll_conn *conn, void *arg)
{
    struct turns *turns = arg;
    if (netpoll_conn_len(conn) >= 20) {
        CHECK(netpoll_conn_skip(conn, 20) == 0);
        CHECK(netpoll_conn_write(conn, "+", 1) == 0);
        CHECK(netpoll_conn_flush(conn) == 0);
    }
    event_add(&turns->calls);
}

TEST_BOTH_MODES(conn_dispatch, a_handler_that_consumes_nothing_sleeps_until_more_comes)
{
    struct turns turns = TURNS_INIT;
    struct rig rig = {.pollers = 1};
    struct netpoll_conn_options options = {
        .on_request = leave_less_than_20, .handler = *mode, .arg = &turns};
    char answer;
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    for (unsigned i = 1; i < 20; i++) {
        client_send(fd, "x", 1);
        event_wait(&turns.calls, i);
    }
    for (unsigned i = 0; i < 20; i++)
        pass_by(&rig, "01234567890123456789", 20);
    client_send(fd, "x", 1);
    cr_assert_eq(client_receive(fd, &answer, 1), 1);
    client_close(fd);
    WAIT_UNTIL(rig_stats(&rig).connections == 0);
    cr_assert_eq(rig_stats(&rig).requests, 40, "20 bytes one by one, and 20 that passed by");
    rig_finish(&rig);
}

/* Takes one byte a call. */
static void take_one(struct netpoll_conn *conn, void *arg)
{
    struct turns *turns = arg;
    CHECK(netpoll_conn_skip(conn, 1) == 0);
    event_add(&turns->calls);
}

TEST_BOTH_MODES(conn_dispatch, a_handler_that_consumes_is_called_until_nothing_is_left)
{
    struct turns turns = TURNS_INIT;
    struct rig rig = {0};
    struct netpoll_conn_options options = {.on_request = take_one, .handler = *mode, .arg = &turns};
    char request[1000] = {0};
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    client_send(fd, request, sizeof request);
    client_end_sending(fd);
    cr_assert(client_sees_end(fd));
    client_close(fd);
    rig_finish_when_idle(&rig);
    cr_assert_eq(event_count(&turns.calls), sizeof request);
}

/* Order of callbacks: each notes its letter; none may meet another one. */
struct order {
    struct grab grab;
    char letters[64];
    size_t count;
    _Atomic int inside;
    struct event ends;
};

static void note(struct order *order, char letter)
{
    CHECK(atomic_fetch_add(&order->inside, 1) == 0);
    CHECK(order->count < sizeof order->letters - 1);
    order->letters[order->count++] = letter;
    sched_yield();
    CHECK(atomic_fetch_sub(&order->inside, 1) == 1);
}

static void note_close_1(struct netpoll_conn *conn, void *arg)
{
    (void)conn;
    note(arg, '1');
    event_add(&((struct order *)arg)->ends);
}

static void note_close_2(struct netpoll_conn *conn, void *arg)
{
    (void)conn;
    note(arg, '2');
}

static void note_close_3(struct netpoll_conn *conn, void *arg)
{
    (void)conn;
    note(arg, '3');
}

static int note_prepare(struct netpoll_conn *conn, void *arg)
{
    note(arg, 'p');
    CHECK(netpoll_conn_add_close_callback(conn, note_close_1, arg) == 0);
    return 0;
}

static void note_connect(struct netpoll_conn *conn, void *arg)
{
    note(arg, 'c');
    CHECK(netpoll_conn_add_close_callback(conn, note_close_2, arg) == 0);
}

static void note_request(struct netpoll_conn *conn, void *arg)
{
    struct order *order = arg;
    if (order->count == 2)
        CHECK(netpoll_conn_add_close_callback(conn, note_close_3, arg) == 0);
    CHECK(netpoll_conn_skip(conn, 1) == 0);
    note(order, 'r');
}

static void note_disconnect(struct netpoll_conn *conn, enum netpoll_close_reason reason, void *arg)
{
    (void)conn;
    CHECK(reason == NETPOLL_CLOSE_EOF);
    note(arg, 'd');
}

TEST_BOTH_MODES(conn_dispatch, callbacks_come_once_and_in_order)
{
    struct order order = {.ends = EVENT_INIT};
    struct rig rig = {0};
    struct netpoll_conn_options options = {.on_prepare = note_prepare,
                                           .on_connect = note_connect,
                                           .on_request = note_request,
                                           .on_disconnect = note_disconnect,
                                           .handler = *mode,
                                           .arg = &order};
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    client_send(fd, "abc", 3);
    client_end_sending(fd);
    cr_assert(client_sees_end(fd));
    client_close(fd);
    event_wait(&order.ends, 1);
    rig_finish(&rig);
    cr_assert_str_eq(order.letters, "pcrrrd321");
}

/* Posts from several threads, mixed with requests. */
#define POSTERS       3
#define POSTS_EACH    2000
#define MIXED_REQUEST 500

struct posts {
    struct grab grab;
    _Atomic int inside;
    unsigned last[POSTERS]; /* touched in turns only: no lock */
    unsigned ran;
    unsigned requests;
};

struct post {
    struct posts *posts;
    unsigned poster;
    unsigned number;
};

static struct post all_posts[POSTERS][POSTS_EACH];

static void run_post(struct netpoll_conn *conn, void *arg)
{
    const struct post *post = arg;
    struct posts *posts = post->posts;
    (void)conn;
    CHECK(atomic_fetch_add(&posts->inside, 1) == 0);
    CHECK(post->number == posts->last[post->poster] + 1);
    posts->last[post->poster] = post->number;
    posts->ran++;
    CHECK(atomic_fetch_sub(&posts->inside, 1) == 1);
}

static void mixed_request(struct netpoll_conn *conn, void *arg)
{
    struct posts *posts = arg;
    CHECK(atomic_fetch_add(&posts->inside, 1) == 0);
    posts->requests++;
    CHECK(netpoll_conn_skip(conn, 1) == 0);
    CHECK(netpoll_conn_write(conn, "+", 1) == 0);
    CHECK(netpoll_conn_flush(conn) == 0);
    CHECK(atomic_fetch_sub(&posts->inside, 1) == 1);
}

static void *post_many(void *arg)
{
    struct post *posts = arg;
    for (unsigned i = 0; i < POSTS_EACH; i++)
        CHECK(netpoll_conn_post(posts[i].posts->grab.conn, run_post, &posts[i]) == 0);
    return NULL;
}

TEST_BOTH_MODES(conn_dispatch, posts_run_once_each_in_their_order_and_never_beside_a_handler)
{
    struct posts posts = {.grab = GRAB_INIT};
    struct rig rig = {0};
    struct netpoll_conn_options options = {
        .on_connect = grab_conn, .on_request = mixed_request, .handler = *mode, .arg = &posts};
    pthread_t threads[POSTERS];
    char answers[MIXED_REQUEST];
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    event_wait(&posts.grab.connects, 1);
    for (unsigned i = 0; i < POSTERS; i++) {
        for (unsigned k = 0; k < POSTS_EACH; k++)
            all_posts[i][k] = (struct post){.posts = &posts, .poster = i, .number = k + 1};
        cr_assert_eq(pthread_create(&threads[i], NULL, post_many, all_posts[i]), 0);
    }
    for (unsigned i = 0; i < MIXED_REQUEST; i++)
        client_send(fd, "x", 1);
    for (unsigned i = 0; i < POSTERS; i++)
        pthread_join(threads[i], NULL);
    cr_assert_eq(client_receive(fd, answers, sizeof answers), sizeof answers);
    (void)conn_stats(posts.grab.conn); /* the last post */
    cr_assert_eq(posts.ran, POSTERS * POSTS_EACH);
    cr_assert_eq(posts.requests, MIXED_REQUEST);
    cr_assert_eq(netpoll_conn_post(posts.grab.conn, NULL, NULL), -EINVAL);
    netpoll_conn_release(posts.grab.conn);
    client_close(fd);
    rig_finish_when_idle(&rig);
}

/* Posts itself until it has run often enough. */
static void post_again(struct netpoll_conn *conn, void *arg)
{
    struct turns *turns = arg;
    if (++turns->len < 1000)
        CHECK(netpoll_conn_post(conn, post_again, turns) == 0);
    else
        event_add(&turns->calls);
}

TEST_BOTH_MODES(conn_dispatch, a_post_may_post)
{
    struct turns turns = TURNS_INIT;
    struct rig rig = {0};
    struct netpoll_conn_options options = {
        .on_connect = grab_conn, .on_request = take_one, .handler = *mode, .arg = &turns};
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    event_wait(&turns.grab.connects, 1);
    cr_assert_eq(netpoll_conn_post(turns.grab.conn, post_again, &turns), 0);
    event_wait(&turns.calls, 1);
    netpoll_conn_release(turns.grab.conn);
    client_close(fd);
    rig_finish_when_idle(&rig);
    cr_assert_eq(turns.len, 1000);
}

/* A flood on the same poller must not keep a small request waiting for ever. */
struct flood {
    int fd;
    atomic_bool stop; /* orders nothing: the flood may send a little longer */
};

static void *run_flood(void *arg)
{
    struct flood *flood = arg;
    static const char data[65536];
    while (!atomic_load_explicit(&flood->stop, memory_order_relaxed))
        client_send(flood->fd, data, sizeof data);
    return NULL;
}

/* Takes everything, more slowly than it comes; answers what asks for it. */
static void take_slowly(struct netpoll_conn *conn, void *arg)
{
    const unsigned char *data;
    size_t n = netpoll_conn_len(conn);
    (void)arg;
    CHECK(netpoll_conn_next(conn, n, (const void **)&data) == 0);
    for (size_t i = 0; i < n; i++)
        CHECK(data[i] == 0 || data[i] == '?');
    if (data[0] == '?') {
        CHECK(netpoll_conn_write(conn, "+", 1) == 0);
        CHECK(netpoll_conn_flush(conn) == 0);
    }
}

TEST_BOTH_MODES(conn_dispatch, a_flood_does_not_starve_the_others)
{
    struct rig rig = {.pollers = 1};
    struct netpoll_conn_options options = {.on_request = take_slowly, .handler = *mode};
    struct flood floods[2] = {0};
    pthread_t threads[2];
    char answer;
    rig_start(&rig, &options);
    for (unsigned i = 0; i < 2; i++) {
        floods[i].fd = rig_dial(&rig);
        cr_assert_eq(pthread_create(&threads[i], NULL, run_flood, &floods[i]), 0);
    }
    int fd = rig_dial(&rig);
    for (unsigned i = 0; i < 50; i++) {
        client_send(fd, "?", 1);
        cr_assert_eq(client_receive(fd, &answer, 1), 1);
    }
    for (unsigned i = 0; i < 2; i++) {
        atomic_store(&floods[i].stop, true);
        pthread_join(threads[i], NULL);
        client_close(floods[i].fd);
    }
    client_close(fd);
    rig_finish_when_idle(&rig);
}

struct self_poster {
    _Atomic bool stop;
    struct event stopped;
};

static void post_for_ever(struct netpoll_conn *conn, void *arg)
{
    struct self_poster *poster = arg;
    if (atomic_load_explicit(&poster->stop, memory_order_relaxed) ||
        netpoll_conn_post(conn, post_for_ever, arg) != 0)
        event_add(&poster->stopped);
}

static void post_or_echo(struct netpoll_conn *conn, void *arg)
{
    const void *first;
    if (netpoll_conn_peek(conn, 1, &first) == 0 && *(const char *)first == 'p') {
        CHECK(netpoll_conn_skip(conn, 1) == 0);
        CHECK(netpoll_conn_post(conn, post_for_ever, arg) == 0);
        return;
    }
    echo_copy(conn, arg);
}

TEST_BOTH_MODES(conn_dispatch, a_post_that_posts_itself_leaves_the_others_their_turns)
{
    struct self_poster poster = {.stopped = EVENT_INIT};
    struct rig rig = {.pollers = 1};
    struct netpoll_conn_options options = {
        .on_request = post_or_echo, .handler = *mode, .arg = &poster};
    rig_start(&rig, &options);
    int busy = rig_dial(&rig);
    client_send(busy, "p", 1);
    int fd = rig_dial(&rig);
    client_send(fd, "x", 1);
    char echoed;
    cr_assert_eq(client_receive(fd, &echoed, 1), 1);
    atomic_store_explicit(&poster.stop, true, memory_order_relaxed);
    event_wait(&poster.stopped, 1);
    client_close(fd);
    client_close(busy);
    rig_finish_when_idle(&rig);
}
