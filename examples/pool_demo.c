/*
 * gopool by itself, one thing after the other. What a line says has been checked before it is
 * printed: where it does not hold the program says so and ends with status 1. Needs nothing else of
 * the toolkit but the memory it stands on. Tasks wait for events, never for time to pass.
 */
#include "pool_demo.h"
#include "pool_check.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define STATUS_USAGE 2

#define PACKETS    5
#define BAD_PACKET 3
#define BATCH      1000

/* What the pool's panic handler has been told. */
struct told {
    unsigned count;
    struct gopool_panic last;
};

static void note_panic(const struct gopool_panic *panic, void *arg)
{
    struct told *told = arg;
    told->count++;
    told->last = *panic;
}

struct packet {
    unsigned number;
    char released[32]; /* by deferred calls, in their order */
    bool answered;
    pthread_t worker;
};

static void release(struct packet *packet, const char *what)
{
    size_t length = strlen(packet->released);
    (void)snprintf(packet->released + length, sizeof packet->released - length, " %s", what);
}

static void free_buffer(void *arg)
{
    release(arg, "buffer");
}

static void close_connection(void *arg)
{
    release(arg, "connection");
}

static void parse(struct packet *packet)
{
    struct gopool_defer defer;
    gopool_defer_push(&defer, free_buffer, packet);
    if (packet->number == BAD_PACKET)
        gopool_panic("packet %u is cut off", packet->number);
    gopool_defer_pop(&defer, true);
}

static void serve(void *arg)
{
    struct packet *packet = arg;
    struct gopool_defer defer;
    packet->worker = pthread_self();
    gopool_defer_push(&defer, close_connection, packet);
    parse(packet);
    packet->answered = true;
    gopool_defer_pop(&defer, true);
}

/* Ends its task, not its worker, and no other task. */
static void show_panic(struct gopool *pool, const struct told *told)
{
    struct packet packets[PACKETS] = {{0}};
    unsigned answered = 0;
    for (unsigned i = 0; i < PACKETS; i++) {
        packets[i].number = i + 1;
        must(gopool_go(pool, serve, &packets[i]));
    }
    settle(pool);
    for (unsigned i = 0; i < PACKETS; i++) {
        answered += packets[i].answered;
        check(strcmp(packets[i].released, " buffer connection") == 0, "all is released, in order");
        check(pthread_equal(packets[i].worker, packets[0].worker), "one worker serves all");
    }
    const struct gopool_panic *panic = &told->last;
    check(told->count == 1 && stats_of(pool).panic_count == 1, "one panic is told of, and counted");
    check(panic->task_arg == &packets[BAD_PACKET - 1], "it was the bad packet");
    check(strcmp(panic->function, "parse") == 0 && strcmp(panic->file, __FILE__) == 0, "its place");
    check(answered == PACKETS - 1 && stats_of(pool).workers == 1, "all but one are answered");
    printf("panic:     \"%s\" in %s(), pool_demo.c:%d, %" PRIu32 " frames; deferred calls released"
           "%s; %u of %d packets answered, before and after by the same worker\n",
           panic->message, panic->function, panic->line, panic->frame_count,
           packets[BAD_PACKET - 1].released, answered, PACKETS);
}

/* A hook has no argument: it is of the whole process. */
static struct {
    unsigned in_tasks;
    unsigned elsewhere;
} hook_calls;

static void count_panic(const struct gopool_panic *panic)
{
    if (panic->pool != NULL)
        hook_calls.in_tasks++;
    else
        hook_calls.elsewhere++;
}

static void give_up(void *arg)
{
    (void)arg;
    gopool_panic("given up");
}

static void show_handler_and_hook(struct gopool *pool, struct told *told)
{
    struct told instead = {0};
    unsigned before = told->count;
    struct gopool_panic panic;
    gopool_set_panic_hook(count_panic);
    gopool_set_panic_handler(pool, note_panic, &instead);
    const char *tried = expect(gopool_try(give_up, NULL, &panic), -ECANCELED, "gopool_try()");
    must(gopool_go(pool, give_up, NULL));
    settle(pool);
    gopool_set_panic_handler(pool, note_panic, told);
    gopool_set_panic_hook(NULL);
    check(panic.pool == NULL && panic.task_fn == NULL, "no task was in gopool_try()");
    check(instead.count == 1 && told->count == before, "the new handler was told, not the old one");
    check(instead.last.task_fn == give_up, "the task is named");
    check(hook_calls.in_tasks == 1 && hook_calls.elsewhere == 1, "the hook was told of both");
    printf(
        "handler:   of the pool \"%s\" told of %u panic, the hook of the process of %u: that one "
        "and one for which gopool_try() returned %s\n",
        instead.last.pool, instead.count, hook_calls.in_tasks + hook_calls.elsewhere, tried);
}

struct sum {
    int left;
    int right;
    int result;
};

static void add(void *arg)
{
    struct sum *sum = arg;
    sum->result = sum->left + sum->right;
}

/* A task that waits for the pool that it keeps busy. */
struct knot {
    struct gopool *pool;
    struct gopool_future inner;
    struct sum sum;
    int status;
};

static void wait_inside(void *arg)
{
    struct knot *knot = arg;
    must(gopool_call(knot->pool, &knot->inner, add, &knot->sum, 0));
    knot->status = gopool_wait(&knot->inner, DEADLINE_MS);
}

static void show_results(struct gopool *pool)
{
    struct gopool_future future;
    struct gate gate;
    struct sum sum = {40, 2, 0};
    struct knot knot = {.pool = pool};
    must(gopool_call(pool, &future, add, &sum, 0));
    const char *result = expect(gopool_wait(&future, DEADLINE_MS), 0, "gopool_wait()");
    check(sum.result == 42, "the result is there");
    must(gopool_call(pool, &future, give_up, NULL, 0));
    const char *panic = expect(gopool_wait(&future, DEADLINE_MS), -ECANCELED, "gopool_wait()");
    gate_shut(&gate);
    must(gopool_call(pool, &future, gate_pass, &gate, 0));
    const char *early = expect(gopool_wait(&future, 1), -ETIMEDOUT, "gopool_wait()");
    gate_open(&gate, 1);
    must(gopool_wait(&future, DEADLINE_MS));
    must(gopool_call(pool, &future, wait_inside, &knot, 0));
    must(gopool_wait(&future, DEADLINE_MS));
    const char *inside = expect(knot.status, -EDEADLK, "gopool_wait() in a task");
    must(gopool_wait(&knot.inner, DEADLINE_MS));
    printf("results:   gopool_wait() %s: %d + %d = %d; after a panic %s; too early %s; in a task, "
           "for its own pool %s\n",
           result, sum.left, sum.right, sum.result, panic, early, inside);
}

static void leave(struct packet *packet)
{
    struct gopool_defer defer;
    gopool_defer_push(&defer, free_buffer, packet);
    gopool_exit_task();
}

static void serve_until_exit(void *arg)
{
    struct packet *packet = arg;
    leave(packet);
    packet->answered = true;
}

static void show_exit(struct gopool *pool, const struct told *told)
{
    struct packet packet = {0};
    unsigned told_before = told->count;
    uint64_t panics_before = stats_of(pool).panic_count;
    must(gopool_go(pool, serve_until_exit, &packet));
    settle(pool);
    uint64_t panics = stats_of(pool).panic_count - panics_before;
    check(strcmp(packet.released, " buffer") == 0, "deferred calls run");
    check(!packet.answered, "what is behind does not run");
    check(panics == 0 && told->count == told_before, "it is no panic");
    printf("exit_task: from two calls deep; deferred calls released%s; %" PRIu64 " panics\n",
           packet.released, panics);
}

/* How far the tasks of a batch have come. */
struct item {
    struct gopool_task task;
    unsigned *next;
    unsigned number;
};

static void take_turn(void *arg)
{
    const struct item *item = arg;
    check(*item->next == item->number, "tasks run in the order of submission");
    ++*item->next;
}

/* Tasks that live in the caller's memory: no allocation, so nothing that could fail for it. */
static void show_batch(struct gopool *pool)
{
    static struct item items[BATCH];
    unsigned next = 0;
    for (unsigned i = 0; i < BATCH; i++) {
        items[i] = (struct item){.next = &next, .number = i};
        items[i].task = (struct gopool_task){.next = i + 1 < BATCH ? &items[i + 1].task : NULL,
                                             .fn = take_turn,
                                             .arg = &items[i],
                                             .flags = GOPOOL_TASK_NONBLOCKING};
    }
    must(gopool_submit_batch(pool, &items[0].task));
    settle(pool);
    check(next == BATCH, "each has run once");
    printf("batch:     %u nonblocking tasks by one submit, run in its order\n", next);
}

static void show_drain(struct gopool *pool)
{
    struct gate gate;
    gate_shut(&gate);
    gate_occupy(&gate, pool, 1);
    const char *missed = expect(gopool_drain(pool, 5), -ETIMEDOUT, "gopool_drain()");
    gate_open(&gate, 1);
    const char *met = expect(gopool_drain(pool, DEADLINE_MS), 0, "gopool_drain()");
    printf("drain:     with a task that waits, 5 ms: %s; when it may go on: %s\n", missed, met);
}

static void show_stop(struct gopool *pool)
{
    must(gopool_stop(pool));
    const char *after = expect(gopool_go(pool, give_up, NULL), -ESHUTDOWN, "gopool_go()");
    check(stats_of(pool).workers == 0, "no worker is left");
    printf("stop:      %" PRIu32 " workers left; gopool_go() %s\n", stats_of(pool).workers, after);
}

static void show_figures(struct gopool *pool)
{
    struct gopool_stats stats = stats_of(pool);
    check(stats.submitted_count == stats.finished_count && stats.queued == 0, "all has run");
    printf("figures:   submitted %" PRIu64 ", finished %" PRIu64 ", of them by a panic %" PRIu64
           "; queued %zu, queue full %" PRIu64 ", stuck %" PRIu64 "; cap %" PRIu32 "\n",
           stats.submitted_count, stats.finished_count, stats.panic_count, stats.queued,
           stats.full_count, stats.stuck_count, stats.cap);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        puts("usage: pool_demo [--help]\nShows what gopool does; takes no other flag.");
        return 0;
    }
    if (argc > 1) {
        (void)fprintf(stderr, "pool_demo: unknown flag \"%s\"; there is only --help\n", argv[1]);
        return STATUS_USAGE;
    }
    struct told told = {0};
    struct gopool *pool = make_pool(&(struct gopool_options){
        .name = "demo", .cap = 1, .panic_handler = note_panic, .panic_handler_arg = &told});
    show_panic(pool, &told);
    show_handler_and_hook(pool, &told);
    show_exit(pool, &told);
    show_results(pool);
    show_batch(pool);
    show_drain(pool);
    show_full_queue(pool);
    show_blocking();
    show_worker_counts();
    show_watchdog();
    show_faults();
    show_stop(pool);
    show_figures(pool);
    gopool_destroy(pool);
    return 0;
}
