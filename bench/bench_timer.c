/* What timers cost when there are very many of them: starting, cancelling, running. */
#define _GNU_SOURCE /* NOLINT(readability-identifier-naming): the C library's name for it */
#include "figures.h"
#include "flags.h"
#include "process.h"

#include <netpoll/netpoll.h>

#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ROUNDS_MAX 99
/* Far away: nothing of what is measured comes due by itself. */
#define FAR_MS  3600000
#define NEAR_MS 2000

enum figure {
    START_HERE,
    CANCEL_HERE,
    START_ELSEWHERE,
    START_ELSEWHERE_POLLER,
    CANCEL_ELSEWHERE,
    CANCEL_ELSEWHERE_POLLER,
    RUN_SPREAD,
    RUN_AT_ONCE,
    FIGURES,
};

static const char *const names[FIGURES] = {
    "start_here",       "cancel_here",
    "start_elsewhere",  "start_elsewhere_poller",
    "cancel_elsewhere", "cancel_elsewhere_poller",
    "run_spread",       "run_at_once",
};

struct bench {
    uint32_t count; /* of timers */
    uint32_t rounds;
    struct netpoll_runtime *runtime;
    struct netpoll_timer **timers;
    double values[FIGURES][ROUNDS_MAX];
    uint32_t round;
    /* Of the poller. */
    uint64_t random;
    uint32_t ran;
    double begun_ns;
    sem_t done;
};

static void must(const char *what, int status)
{
    if (status >= 0)
        return;
    fprintf(stderr, "bench_timer: %s: %s\n", what, netpoll_strerror(status));
    exit(1);
}

/* Time of the calling thread, so that others on the machine do not count. */
static double cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* The same of all threads. */
static double all_cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void note(struct bench *bench, enum figure figure, double value)
{
    bench->values[figure][bench->round] = value;
}

static int64_t random_below(struct bench *bench, uint32_t bound)
{
    bench->random = bench->random * 6364136223846793005U + 1442695040888963407U;
    return (int64_t)((bench->random >> 33) % bound);
}

static void never(struct netpoll_timer *timer, void *arg)
{
    (void)timer;
    (void)arg;
}

static void start_far(struct bench *bench, enum figure figure)
{
    double since = cpu_ns();
    for (uint32_t i = 0; i < bench->count; i++)
        must("start", netpoll_timer_after(bench->runtime, FAR_MS + random_below(bench, FAR_MS),
                                          never, NULL, &bench->timers[i]));
    note(bench, figure, (cpu_ns() - since) / bench->count);
}

/* In an order that has nothing to do with that of the starts, as those of answers that come. */
static void shuffle(struct bench *bench)
{
    for (uint32_t i = bench->count - 1; i > 0; i--) {
        uint32_t j = (uint32_t)random_below(bench, i + 1);
        struct netpoll_timer *timer = bench->timers[i];
        bench->timers[i] = bench->timers[j];
        bench->timers[j] = timer;
    }
}

static void cancel_all(struct bench *bench, enum figure figure)
{
    shuffle(bench);
    double since = cpu_ns();
    for (uint32_t i = 0; i < bench->count; i++) {
        (void)netpoll_timer_cancel(bench->timers[i]);
        netpoll_timer_release(bench->timers[i]);
    }
    note(bench, figure, (cpu_ns() - since) / bench->count);
}

static void measure_here(struct netpoll_timer *timer, void *arg)
{
    struct bench *bench = arg;
    netpoll_timer_release(timer);
    start_far(bench, START_HERE);
    cancel_all(bench, CANCEL_HERE);
    sem_post(&bench->done);
}

static void run_one(struct netpoll_timer *timer, void *arg)
{
    struct bench *bench = arg;
    (void)timer;
    if (bench->ran++ == 0)
        bench->begun_ns = cpu_ns();
    if (bench->ran == bench->count) {
        bench->begun_ns = cpu_ns() - bench->begun_ns;
        sem_post(&bench->done);
    }
}

/* Due within a second, or in one tick. */
struct runs {
    struct bench *bench;
    enum figure figure;
};

static uint64_t clock_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void start_runs(struct netpoll_timer *timer, void *arg)
{
    const struct runs *runs = arg;
    struct bench *bench = runs->bench;
    uint64_t due = clock_ms() + NEAR_MS;
    netpoll_timer_release(timer);
    bench->ran = 0;
    for (uint32_t i = 0; i < bench->count; i++) {
        int64_t in_ms = runs->figure == RUN_AT_ONCE ? (int64_t)(due - clock_ms())
                                                    : NEAR_MS + random_below(bench, 1000);
        must("start",
             netpoll_timer_after(bench->runtime, in_ms, run_one, bench, &bench->timers[i]));
    }
}

static void on_poller(struct bench *bench, netpoll_timer_fn *fn, void *arg)
{
    struct netpoll_timer *timer;
    must("start", netpoll_timer_after(bench->runtime, 0, fn, arg, &timer));
    while (sem_wait(&bench->done) != 0)
        ;
}

static void measure_runs(struct bench *bench, enum figure figure)
{
    struct runs runs = {.bench = bench, .figure = figure};
    on_poller(bench, start_runs, &runs);
    note(bench, figure, bench->begun_ns / bench->count);
    for (uint32_t i = 0; i < bench->count; i++)
        netpoll_timer_release(bench->timers[i]);
}

static void say_done(struct netpoll_timer *timer, void *arg)
{
    struct bench *bench = arg;
    netpoll_timer_release(timer);
    sem_post(&bench->done);
}

/* The caller's share, and the poller's until it has taken everything. */
static void measure_elsewhere(struct bench *bench)
{
    double others = all_cpu_ns() - cpu_ns();
    start_far(bench, START_ELSEWHERE);
    on_poller(bench, say_done, bench);
    double after = all_cpu_ns() - cpu_ns();
    note(bench, START_ELSEWHERE_POLLER, (after - others) / bench->count);
    others = after;
    cancel_all(bench, CANCEL_ELSEWHERE);
    on_poller(bench, say_done, bench);
    note(bench, CANCEL_ELSEWHERE_POLLER, (all_cpu_ns() - cpu_ns() - others) / bench->count);
}

static void read_flags(int argc, char **argv, struct bench *bench)
{
    const struct flag flags[] = {
        {.name = "--timers",
         .value = "N",
         .help = "live at a time (1000000)",
         .parse = flag_number,
         .into = &bench->count,
         .min = 1,
         .max = 50000000},
        {.name = "--rounds",
         .value = "N",
         .help = "each gives every figure (5)",
         .parse = flag_number,
         .into = &bench->rounds,
         .min = 1,
         .max = ROUNDS_MAX},
    };
    const struct flag_set set = {.program = "bench_timer",
                                 .summary = "Nanoseconds of CPU time per timer.",
                                 .flags = flags,
                                 .count = sizeof flags / sizeof flags[0]};
    flags_parse(&set, argc, argv);
}

static void print_figures(struct bench *bench)
{
    for (int i = 0; i < FIGURES; i++) {
        struct quartiles figure = figures_quartiles(bench->values[i], bench->rounds);
        printf("timer_%s %.1f ns\n", names[i], figure.median);
        printf("timer_%s_q1 %.1f ns\n", names[i], figure.first);
        printf("timer_%s_q3 %.1f ns\n", names[i], figure.third);
    }
}

int main(int argc, char **argv)
{
    static struct bench bench = {.count = 1000000, .rounds = 5, .random = 1};
    const struct netpoll_runtime_options options = {.pollers = 1};
    unsigned cpus[2];
    read_flags(argc, argv, &bench);
    sem_init(&bench.done, 0, 0);
    bench.timers = malloc(bench.count * sizeof(struct netpoll_timer *));
    if (bench.timers == NULL)
        must("memory", -ENOMEM);
    must("netpoll_runtime_create", netpoll_runtime_create(&options, &bench.runtime));
    /* The poller, which is there already, may use both. */
    if (process_pick_cpus(cpus) == 0)
        (void)process_pin(cpus[1]);
    for (bench.round = 0; bench.round < bench.rounds; bench.round++) {
        fprintf(stderr, "round %u of %u\n", bench.round + 1, bench.rounds);
        on_poller(&bench, measure_here, &bench);
        measure_elsewhere(&bench);
        measure_runs(&bench, RUN_SPREAD);
        measure_runs(&bench, RUN_AT_ONCE);
    }
    print_figures(&bench);
    must("netpoll_runtime_destroy", netpoll_runtime_destroy(bench.runtime));
    free(bench.timers);
    return 0;
}
