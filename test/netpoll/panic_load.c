/*
 * A server of frames (length, 32 bits in network order, and payload) whose handler panics when a
 * payload asks for it, hundreds of times a second among ordinary calls. A call fails if and only if
 * it asked for the panic, every other one has its own answer, and nothing is left behind.
 *
 * usage: panic_load [faults]    faults: the handler reads through a null pointer instead, which is
 *                               recovered from on a worker, and is the end on a poller
 */
#include "../support/pattern.h"
#include "../support/process.h"
#include "rig.h"

#include <arpa/inet.h>
#include <gopool/fault.h>
#include <mcache/mcache.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define HEAD_BYTES       sizeof(uint32_t)
#define PAYLOAD_BYTES    ((size_t)2000)
#define CLIENTS          4
#define LINES            16 /* connections of a client, a call under way on each */
#define PANICS_PER_S     500
#define RUN_MS           1500
#define FULL_RUN_MS      30000
#define FAULT_DEADLINE_S 60
/* What the blocks that pollers have ready to receive into come and go by, and more. */
#define POLLERS_BYTES ((size_t)16 << 20)

static const char panic_word[] = "panic";

/* The server's side. Relaxed: read when every connection has ended. */
struct served {
    _Atomic uint64_t panics; /* connections that ended by one */
    _Atomic uint64_t others;
    _Atomic uint64_t deferred;
};

static bool by_fault;
static const volatile int *volatile null_pointer;

static void count(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* What a handler has in hand while it works. */
struct errand {
    struct served *served;
    void *scratch;
};

static void give_up(void *arg)
{
    struct errand *errand = arg;
    mcache_free(errand->scratch);
    count(&errand->served->deferred);
}

static void fail_as_asked(void)
{
    if (by_fault)
        (void)*null_pointer;
    gopool_panic("as asked");
}

/* Some frames deep, as the code of a program would be. */
static __attribute__((noinline)) void look_at(const char *payload, size_t n, unsigned depth)
{
    if (depth > 0)
        look_at(payload, n, depth - 1);
    else if (n == strlen(panic_word) && memcmp(payload, panic_word, n) == 0)
        fail_as_asked();
}

static void answer(struct netpoll_conn *conn, struct served *served, const char *frame, size_t n)
{
    struct errand errand = {.served = served};
    struct gopool_defer defer;
    errand.scratch = mcache_alloc(n);
    CHECK(errand.scratch != NULL);
    gopool_defer_push(&defer, give_up, &errand);
    memcpy(errand.scratch, frame, n);
    /* The head of an answer that will not be sent. */
    CHECK(netpoll_conn_write(conn, errand.scratch, HEAD_BYTES) == 0);
    look_at(frame + HEAD_BYTES, n - HEAD_BYTES, 5);
    CHECK(netpoll_conn_write(conn, (char *)errand.scratch + HEAD_BYTES, n - HEAD_BYTES) == 0);
    (void)!netpoll_conn_flush(conn);
    gopool_defer_pop(&defer, true);
}

static void on_request(struct netpoll_conn *conn, void *arg)
{
    const void *frame;
    uint32_t payload;
    if (netpoll_conn_peek(conn, HEAD_BYTES, &frame) != 0)
        return;
    memcpy(&payload, frame, HEAD_BYTES);
    size_t n = HEAD_BYTES + ntohl(payload);
    if (netpoll_conn_next(conn, n, &frame) == 0)
        answer(conn, arg, frame, n);
}

static void on_disconnect(struct netpoll_conn *conn, enum netpoll_close_reason reason, void *arg)
{
    struct served *served = arg;
    (void)conn;
    CHECK(reason == NETPOLL_CLOSE_PANIC || reason == NETPOLL_CLOSE_EOF);
    count(reason == NETPOLL_CLOSE_PANIC ? &served->panics : &served->others);
}

/* One connection of a client. */
struct line {
    int fd;
    bool asks; /* the call under way asked for a panic */
    size_t n;  /* bytes of its frame */
    char frame[HEAD_BYTES + PAYLOAD_BYTES];
};

struct client {
    const struct rig *rig;
    int64_t run_ms;
    uint64_t random;
    uint64_t asked;
    uint64_t failed;
    uint64_t done;
    struct line lines[LINES];
    pthread_t thread;
};

static void start_call(struct client *client, struct line *line, bool asks)
{
    size_t payload = strlen(panic_word);
    line->asks = asks;
    if (asks) {
        memcpy(line->frame + HEAD_BYTES, panic_word, payload);
        client->asked++;
    } else {
        /* From one byte more on: none is that word by chance. */
        payload += 1 + (size_t)random_below(&client->random, PAYLOAD_BYTES - payload);
        pattern_fill(random_next(&client->random), 0, line->frame + HEAD_BYTES, payload);
    }
    uint32_t head = htonl((uint32_t)payload);
    memcpy(line->frame, &head, HEAD_BYTES);
    line->n = HEAD_BYTES + payload;
    client_send(line->fd, line->frame, line->n);
}

static void finish_call(struct client *client, struct line *line)
{
    char got[HEAD_BYTES + PAYLOAD_BYTES];
    if (client_try_receive(line->fd, got, line->n) == line->n) {
        CHECK(!line->asks);
        CHECK(memcmp(got, line->frame, line->n) == 0);
        client->done++;
        return;
    }
    CHECK(line->asks);
    client->failed++;
    client_close(line->fd);
    line->fd = rig_dial(client->rig);
}

static void *run_client(void *arg)
{
    struct client *client = arg;
    int64_t start = now_ms();
    int64_t elapsed = 0;
    for (unsigned i = 0; i < LINES; i++)
        client->lines[i].fd = rig_dial(client->rig);
    while (elapsed < client->run_ms) {
        uint64_t due = (uint64_t)elapsed * PANICS_PER_S / CLIENTS / 1000;
        for (unsigned i = 0; i < LINES; i++)
            start_call(client, &client->lines[i], client->asked < due);
        for (unsigned i = 0; i < LINES; i++)
            finish_call(client, &client->lines[i]);
        elapsed = now_ms() - start;
    }
    for (unsigned i = 0; i < LINES; i++)
        client_close(client->lines[i].fd);
    return NULL;
}

static void count_thread(pid_t thread, void *arg)
{
    (void)thread;
    ++*(size_t *)arg;
}

static size_t thread_count(void)
{
    size_t threads = 0;
    for_each_thread(count_thread, &threads);
    return threads;
}

struct sums {
    uint64_t asked;
    uint64_t failed;
    uint64_t done;
};

static struct sums run_clients(const struct rig *rig, int64_t run_ms)
{
    static struct client clients[CLIENTS];
    struct sums sums = {0};
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client){.rig = rig, .run_ms = run_ms, .random = i + 1};
        CHECK(pthread_create(&clients[i].thread, NULL, run_client, &clients[i]) == 0);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        pthread_join(clients[i].thread, NULL);
        sums.asked += clients[i].asked;
        sums.failed += clients[i].failed;
        sums.done += clients[i].done;
    }
    return sums;
}

/* What a run has taken is back while the server still stands. */
static void expect_nothing_left(struct rig *rig, size_t descriptors, size_t bytes)
{
    WAIT_UNTIL(rig_stats(rig).connections == 0);
    WAIT_UNTIL(descriptor_count() == descriptors);
    WAIT_UNTIL(live_bytes() < bytes + POLLERS_BYTES);
}

static void run(enum netpoll_handler mode, int64_t run_ms)
{
    struct served served = {0};
    struct rig rig = {0};
    struct netpoll_conn_options options = {
        .on_request = on_request, .on_disconnect = on_disconnect, .handler = mode, .arg = &served};
    size_t threads = thread_count();
    rig_start(&rig, &options);
    size_t descriptors = descriptor_count();
    size_t bytes = live_bytes();
    struct sums sums = run_clients(&rig, run_ms);
    /* The last ones may have been closed before they were accepted. */
    WAIT_UNTIL(rig_stats(&rig).accepted == sums.asked + CLIENTS * LINES);
    expect_nothing_left(&rig, descriptors, bytes);
    WAIT_UNTIL(atomic_load(&served.panics) + atomic_load(&served.others) ==
               rig_stats(&rig).accepted);
    printf("%s: %llu calls answered, %llu panicked\n",
           mode == NETPOLL_HANDLER_INLINE ? "inline" : "pool", (unsigned long long)sums.done,
           (unsigned long long)sums.failed);
    CHECK(sums.asked > 0);
    CHECK(sums.failed == sums.asked);
    CHECK(served.panics == sums.asked);
    CHECK(served.others == CLIENTS * LINES);
    CHECK(served.deferred == sums.asked + sums.done);
    rig.expected_logs = (uint32_t)sums.asked;
    rig_finish(&rig);
    /* A thread that has been joined is in /proc a moment longer. */
    WAIT_UNTIL(thread_count() == threads);
}

static void *do_nothing(void *arg)
{
    return arg;
}

/* ThreadSanitizer starts a thread of its own along with the first one. */
static void start_a_thread(void)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, do_nothing, NULL) == 0);
    pthread_join(thread, NULL);
}

/* In a process of its own. */
static void fault_on_poller(void)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        alarm(FAULT_DEADLINE_S);
        run(NETPOLL_HANDLER_INLINE, RUN_MS);
        _exit(0);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

static int run_with_faults(int64_t run_ms)
{
    const struct gopool_fault_options options = {.budget = GOPOOL_FAULT_BUDGET_UNLIMITED};
    const char *refusal = gopool_fault_recovery_refusal();
    by_fault = true;
    if (refusal != NULL) {
        fprintf(stderr, "skipped: %s\n", refusal);
        return STATUS_SKIPPED;
    }
    CHECK(gopool_fault_recovery_enable(&options) == 0);
    fault_on_poller();
    run(NETPOLL_HANDLER_POOL, run_ms);
    CHECK(gopool_fault_count() > 0);
    return 0;
}

int main(int argc, char **argv)
{
    int error = backend_refusal();
    if (error != 0) {
        fprintf(stderr, "skipped: io_uring is refused here: %s\n", strerror(error));
        return STATUS_SKIPPED;
    }
    int64_t run_ms = getenv("FULL") != NULL ? FULL_RUN_MS : RUN_MS;
    if (argc > 1 && strcmp(argv[1], "faults") == 0)
        return run_with_faults(run_ms);
    start_a_thread();
    run(NETPOLL_HANDLER_POOL, run_ms);
    run(NETPOLL_HANDLER_INLINE, run_ms);
    return 0;
}
