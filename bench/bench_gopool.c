/* gopool against libuv's pool, a thread per task and the same work without a pool. Every figure
 * comes from a child of its own, because a side's threads live as long as their process. */
#define _GNU_SOURCE /* NOLINT(readability-identifier-naming): the C library's name for it */
#include "figures.h"
#include "flags.h"
#include "pool_case.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS_MAX 1000

static const struct pool_case {
    const char *name;
    enum pool_op op;
    uint32_t producers, workers;
    bool has_one_place; /* it is done by one thread */
} cases[] = {
    {"submit_1w", POOL_SUBMIT, 1, 1, false},
    {"submit_2w", POOL_SUBMIT, 1, 2, false},
    {"submit_4p_1w", POOL_SUBMIT, 4, 1, false},
    {"submit_4p_2w", POOL_SUBMIT, 4, 2, false},
    {"submit_nonblocking_1w", POOL_SUBMIT_NONBLOCKING, 1, 1, false},
    {"submit_nonblocking_2w", POOL_SUBMIT_NONBLOCKING, 1, 2, false},
    {"submit_nonblocking_4p_1w", POOL_SUBMIT_NONBLOCKING, 4, 1, false},
    {"submit_nonblocking_4p_2w", POOL_SUBMIT_NONBLOCKING, 4, 2, false},
    {"go_1w", POOL_GO, 1, 1, false},
    {"go_2w", POOL_GO, 1, 2, false},
    {"go_4p_1w", POOL_GO, 4, 1, false},
    {"go_4p_2w", POOL_GO, 4, 2, false},
    {"batch64_1w", POOL_BATCH, 1, 1, false},
    {"batch64_2w", POOL_BATCH, 1, 2, false},
    {"batch64_nonblocking_1w", POOL_BATCH_NONBLOCKING, 1, 1, false},
    {"batch64_nonblocking_2w", POOL_BATCH_NONBLOCKING, 1, 2, false},
    {"trip_parked", POOL_PARKED, 1, 1, false},
    {"trip_busy", POOL_BUSY, 1, 1, false},
    {"try", POOL_TRY, 1, 1, true},
};

#define CASE_COUNT (sizeof cases / sizeof cases[0])

static const char *const place_names[POOL_PLACE_COUNT] = {"one_core", "apart", "both_cores"};

/* The first has every operation. */
static const struct pool_side *const sides[] = {&pool_ours, &pool_recovering, &pool_bare, &pool_uv,
                                                &pool_thread};

#define SIDE_COUNT (sizeof sides / sizeof sides[0])

struct settings {
    uint32_t rounds;
    uint32_t milliseconds;
    uint32_t tasks;
    uint32_t idle_seconds;
    const struct pool_case *only; /* NULL: all */
    const char *const *place;     /* NULL: all */
    const struct pool_side *side; /* NULL: all */
    bool has_two_cpus;
};

/* Of one case in one place, by side and round. */
struct series {
    double ns[SIDE_COUNT][ROUNDS_MAX];
    double cpu_ns[SIDE_COUNT][ROUNDS_MAX];
};

static struct series all_series[CASE_COUNT][POOL_PLACE_COUNT];

static bool parse_case(const struct flag *flag, const char *text)
{
    for (size_t i = 0; i < CASE_COUNT; i++) {
        if (strcmp(cases[i].name, text) == 0) {
            *(const struct pool_case **)flag->into = &cases[i];
            return true;
        }
    }
    return false;
}

static bool parse_place(const struct flag *flag, const char *text)
{
    for (size_t i = 0; i < POOL_PLACE_COUNT; i++) {
        if (strcmp(place_names[i], text) == 0) {
            *(const char *const **)flag->into = &place_names[i];
            return true;
        }
    }
    return false;
}

static bool parse_side(const struct flag *flag, const char *text)
{
    for (size_t i = 0; i < SIDE_COUNT; i++) {
        if (strcmp(sides[i]->name, text) == 0) {
            *(const struct pool_side **)flag->into = sides[i];
            return true;
        }
    }
    return false;
}

static void read_flags(int argc, char **argv, struct settings *out)
{
    const struct flag flags[] = {
        {.name = "--rounds",
         .value = "N",
         .help = "(9)",
         .parse = flag_number,
         .into = &out->rounds,
         .min = 1,
         .max = ROUNDS_MAX},
        {.name = "--milliseconds",
         .value = "N",
         .help = "of one side's case in one round (20)",
         .parse = flag_number,
         .into = &out->milliseconds,
         .min = 1,
         .max = 60000},
        {.name = "--tasks",
         .value = "N",
         .help = "of one burst (50000)",
         .parse = flag_number,
         .into = &out->tasks,
         .min = POOL_BATCH_TASKS,
         .max = 60000},
        {.name = "--only",
         .value = "CASE",
         .help = "submit_1w, batch64_2w, trip_parked, try, ... (all)",
         .must_be = "a result's name without the side's and the place's",
         .parse = parse_case,
         .into = &out->only},
        {.name = "--place",
         .value = "PLACE",
         .help = "one_core, apart or both_cores (all)",
         .must_be = "one_core, apart or both_cores",
         .parse = parse_place,
         .into = &out->place},
        {.name = "--side",
         .value = "SIDE",
         .help = "gopool, recovering, bare, libuv or thread, without ratios (all)",
         .must_be = "gopool, recovering, bare, libuv or thread",
         .parse = parse_side,
         .into = &out->side},
        {.name = "--idle-seconds",
         .value = "N",
         .help = "measure pools without work for so long instead (0: do not)",
         .parse = flag_number,
         .into = &out->idle_seconds,
         .min = 0,
         .max = 3600},
    };
    const struct flag_set set = {
        .program = "bench_gopool",
        .summary = "gopool against other ways to run a task on another thread: ns, ratios.",
        .flags = flags,
        .count = sizeof flags / sizeof flags[0]};
    flags_parse(&set, argc, argv);
}

/* False when the case is not done in this place at all. */
static bool is_wanted(const struct settings *settings, size_t which, size_t place)
{
    const struct pool_case *asked = &cases[which];
    if (settings->only != NULL && settings->only != asked)
        return false;
    if (place == POOL_ONE_CORE && asked->has_one_place)
        return true;
    if (asked->has_one_place || (place != POOL_ONE_CORE && !settings->has_two_cpus))
        return false;
    return settings->place == NULL || settings->place == &place_names[place];
}

static bool has(const struct settings *settings, size_t side, size_t which, size_t place)
{
    const struct pool_case *asked = &cases[which];
    if (settings->side != NULL && settings->side != sides[side])
        return false;
    if (sides[side]->has_one_producer && asked->producers > 1)
        return false;
    if (sides[side]->is_together && place == POOL_APART)
        return false;
    return sides[side]->ops[asked->op] != NULL;
}

/* Takes one figure in a child; false when that has failed, and said why. */
static bool measure(pool_measure_fn *fn, const struct pool_run *run, struct pool_figure *out)
{
    static struct pool_figure *shared;
    int how;
    if (shared == NULL)
        shared =
            mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        pool_fail("no memory");
    fflush(stderr);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        *shared = fn(run);
        _exit(0);
    }
    if (pid < 0 || waitpid(pid, &how, 0) != pid)
        pool_fail("cannot run a child");
    *out = *shared;
    return WIFEXITED(how) && WEXITSTATUS(how) == 0;
}

static bool run_case(const struct settings *settings, size_t which, size_t place, uint32_t round)
{
    const struct pool_case *asked = &cases[which];
    struct series *series = &all_series[which][place];
    const struct pool_run run = {.op = asked->op,
                                 .place = (enum pool_place)place,
                                 .producers = asked->producers,
                                 .workers = asked->workers,
                                 .tasks = settings->tasks,
                                 .milliseconds = settings->milliseconds};
    fprintf(stderr, "  %-26s %-10s", asked->name, place_names[place]);
    for (size_t i = 0; i < SIDE_COUNT; i++) {
        /* Another one first in every round. */
        size_t turn = (i + round) % SIDE_COUNT;
        struct pool_figure figure;
        if (!has(settings, turn, which, place))
            continue;
        if (!measure(sides[turn]->ops[asked->op], &run, &figure)) {
            fprintf(stderr, "bench_gopool: %s: %s failed\n", asked->name, sides[turn]->name);
            return false;
        }
        series->ns[turn][round] = figure.ns;
        series->cpu_ns[turn][round] = figure.cpu_ns;
    }
    for (size_t i = 0; i < SIDE_COUNT; i++) {
        if (has(settings, i, which, place))
            fprintf(stderr, " %10.1f", series->ns[i][round]);
        else
            fprintf(stderr, " %10s", "-");
    }
    fputc('\n', stderr);
    return true;
}

/* The name of a result, after the side's. */
struct label {
    char text[64];
};

static struct label label_of(size_t which, size_t place)
{
    struct label label;
    const struct pool_case *asked = &cases[which];
    snprintf(label.text, sizeof label.text, "%s%s%s", asked->name, asked->has_one_place ? "" : "_",
             asked->has_one_place ? "" : place_names[place]);
    return label;
}

/* How many times as fast as theirs ours is; against the floor, how many times as long it takes. */
static void print_ratio(const struct series *series, size_t side, const char *label,
                        uint32_t rounds)
{
    static double ratios[ROUNDS_MAX];
    bool is_floor = sides[side]->is_floor;
    const char *name = is_floor ? "vs" : "speedup";
    for (uint32_t round = 0; round < rounds; round++) {
        double ratio = series->ns[side][round] / series->ns[0][round];
        ratios[round] = is_floor ? 1 / ratio : ratio;
    }
    struct quartiles ratio = figures_quartiles(ratios, rounds);
    const char *peer = sides[side]->name;
    printf("gopool_%s_%s_%s %.2f ratio\n", label, name, peer, ratio.median);
    printf("gopool_%s_%s_%s_q1 %.2f ratio\n", label, name, peer, ratio.first);
    printf("gopool_%s_%s_%s_q3 %.2f ratio\n", label, name, peer, ratio.third);
}

static void print_case(const struct settings *settings, size_t which, size_t place)
{
    uint32_t rounds = settings->rounds;
    struct series *series = &all_series[which][place];
    struct label label = label_of(which, place);
    for (size_t i = 1; i < SIDE_COUNT; i++) {
        if (settings->side == NULL && has(settings, i, which, place))
            print_ratio(series, i, label.text, rounds);
    }
    for (size_t i = 0; i < SIDE_COUNT; i++) {
        if (!has(settings, i, which, place))
            continue;
        printf("%s_%s %.1f ns\n", sides[i]->name, label.text,
               figures_quartiles(series->ns[i], rounds).median);
        double cpu_ns = figures_quartiles(series->cpu_ns[i], rounds).median;
        if (cpu_ns > 0)
            printf("%s_%s_cpu %.1f ns\n", sides[i]->name, label.text, cpu_ns);
    }
}

static int run_idle(uint32_t seconds)
{
    struct pool_idle idle = pool_idle_measure(seconds);
    printf("gopool_idle_parked_switches %llu switches\n", (unsigned long long)idle.parked_switches);
    printf("gopool_idle_reaped_switches %llu switches\n", (unsigned long long)idle.reaped_switches);
    printf("gopool_idle_reaped_threads %u threads\n", idle.reaped_threads);
    return 0;
}

static bool run_round(const struct settings *settings, uint32_t round)
{
    fprintf(stderr, "round %u of %u\n  %-37s", round + 1, settings->rounds, "");
    for (size_t i = 0; i < SIDE_COUNT; i++)
        fprintf(stderr, " %10s", sides[i]->name);
    fputc('\n', stderr);
    for (size_t i = 0; i < CASE_COUNT; i++) {
        for (size_t place = 0; place < POOL_PLACE_COUNT; place++) {
            if (is_wanted(settings, i, place) && !run_case(settings, i, place, round))
                return false;
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    struct settings settings = {.rounds = 9, .milliseconds = 20, .tasks = 50000};
    read_flags(argc, argv, &settings);
    if (settings.idle_seconds > 0)
        return run_idle(settings.idle_seconds);
    settings.has_two_cpus = pool_place_init();
    if (!settings.has_two_cpus)
        fprintf(stderr, "bench_gopool: one CPU: no case that needs two\n");
    for (uint32_t round = 0; round < settings.rounds; round++) {
        if (!run_round(&settings, round))
            return 1;
    }
    for (size_t i = 0; i < CASE_COUNT; i++) {
        for (size_t place = 0; place < POOL_PLACE_COUNT; place++) {
            if (is_wanted(&settings, i, place))
                print_case(&settings, i, place);
        }
    }
    return 0;
}
