/* Ours against other allocators. Every figure comes from a process of its own; each round runs all
 * allocators one after the other for each case, so that slow changes of the machine touch all. */
#include "alloc_case.h"
#include "figures.h"
#include "flags.h"
#include "process.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS_MAX 1000

/* The first is what the others are compared with. */
static const struct allocator {
    const char *name;
    const char *program;
} allocators[] = {
    {"mcache", "bench_mcache"},
    {"glibc", "bench_mcache_glibc"},
    {"mimalloc", "bench_mcache_mimalloc"},
    {"jemalloc", "bench_mcache_jemalloc"},
};

#define ALLOCATOR_COUNT (sizeof allocators / sizeof allocators[0])

struct settings {
    uint32_t rounds;
    uint32_t milliseconds;
    const struct alloc_case *only; /* NULL: all */
};

/* Of one case, by allocator and round. */
struct series {
    double value[ALLOCATOR_COUNT][ROUNDS_MAX];
};

static bool parse_case(const struct flag *flag, const char *text)
{
    const struct alloc_case *found = alloc_case_find(text);
    *(const struct alloc_case **)flag->into = found;
    return found != NULL;
}

static void read_flags(int argc, char **argv, struct settings *out)
{
    const struct flag flags[] = {
        {.name = "--rounds",
         .value = "N",
         .help = "of every case but those of memory, which are taken once (5)",
         .parse = flag_number,
         .into = &out->rounds,
         .min = 1,
         .max = ROUNDS_MAX},
        {.name = "--milliseconds",
         .value = "N",
         .help = "of one allocator's case in one round (50)",
         .parse = flag_number,
         .into = &out->milliseconds,
         .min = 1,
         .max = 60000},
        {.name = "--only",
         .value = "CASE",
         .help = "pair_64, batch4096_64, mix, cross_64, burst_back_5s, ... (all)",
         .must_be = "a result's name without the allocator's",
         .parse = parse_case,
         .into = &out->only},
    };
    const struct flag_set set = {
        .program = "bench_allocators",
        .summary = "mcache against other allocators: ns for a block's way, ratios ours to theirs.",
        .flags = flags,
        .count = sizeof flags / sizeof flags[0]};
    flags_parse(&set, argc, argv);
}

/* The value of a line "NAME VALUE UNIT". */
static int parse_line(const char *line, double *value)
{
    const char *number = strchr(line, ' ');
    if (number == NULL)
        return -EBADMSG;
    char *end;
    *value = strtod(number, &end);
    return *end == ' ' ? 0 : -EBADMSG;
}

/* Runs one twin for one case. */
static int measure(const struct settings *settings, const struct allocator *allocator,
                   const struct alloc_case *which, double *value)
{
    char milliseconds[16];
    char line[128];
    snprintf(milliseconds, sizeof milliseconds, "%u", settings->milliseconds);
    const char *const args[] = {"--case", which->name, "--milliseconds", milliseconds, NULL};
    int status = process_run(allocator->program, args, line, sizeof line);
    if (status == 0)
        status = parse_line(line, value);
    if (status != 0)
        fprintf(stderr, "bench_allocators: %s: %s: %s\n", allocator->program, which->name,
                strerror(-status));
    return status;
}

static int measure_all(const struct settings *settings, const struct alloc_case *which,
                       uint32_t round, struct series *out)
{
    fprintf(stderr, "  %-18s", which->name);
    for (size_t i = 0; i < ALLOCATOR_COUNT; i++) {
        /* Another one first in every round. */
        size_t turn = (i + round) % ALLOCATOR_COUNT;
        int status = measure(settings, &allocators[turn], which, &out->value[turn][round]);
        if (status != 0)
            return status;
    }
    for (size_t i = 0; i < ALLOCATOR_COUNT; i++)
        fprintf(stderr, " %10.2f", out->value[i][round]);
    fputc('\n', stderr);
    return 0;
}

static void print_ratio(const struct series *series, size_t peer, const struct alloc_case *which,
                        uint32_t rounds)
{
    static double ratios[ROUNDS_MAX];
    const char *name = allocators[peer].name;
    for (uint32_t round = 0; round < rounds; round++)
        ratios[round] = series->value[0][round] / series->value[peer][round];
    struct quartiles ratio = figures_quartiles(ratios, rounds);
    printf("mcache_%s_vs_%s %.3f ratio\n", which->name, name, ratio.median);
    printf("mcache_%s_vs_%s_q1 %.3f ratio\n", which->name, name, ratio.first);
    printf("mcache_%s_vs_%s_q3 %.3f ratio\n", which->name, name, ratio.third);
}

static void print_times(struct series *series, const struct alloc_case *which, uint32_t rounds)
{
    for (size_t peer = 1; peer < ALLOCATOR_COUNT; peer++)
        print_ratio(series, peer, which, rounds);
    for (size_t i = 0; i < ALLOCATOR_COUNT; i++)
        printf("%s_%s %.2f ns\n", allocators[i].name, which->name,
               figures_quartiles(series->value[i], rounds).median);
}

static void print_memory(const struct series *series, const struct alloc_case *which)
{
    for (size_t i = 0; i < ALLOCATOR_COUNT; i++)
        printf("%s_%s %.1f percent\n", allocators[i].name, which->name, series->value[i][0]);
}

static bool is_wanted(const struct settings *settings, const struct alloc_case *which,
                      uint32_t round)
{
    if (alloc_case_is_memory(which) && round > 0)
        return false;
    return settings->only == NULL || settings->only == which;
}

static int run_rounds(const struct settings *settings, struct series *series)
{
    for (uint32_t round = 0; round < settings->rounds; round++) {
        fprintf(stderr, "round %u of %u\n  %-18s", round + 1, settings->rounds, "");
        for (size_t i = 0; i < ALLOCATOR_COUNT; i++)
            fprintf(stderr, " %10s", allocators[i].name);
        fputc('\n', stderr);
        for (size_t i = 0; i < ALLOC_CASE_COUNT; i++) {
            if (!is_wanted(settings, &alloc_cases[i], round))
                continue;
            int status = measure_all(settings, &alloc_cases[i], round, &series[i]);
            if (status != 0)
                return status;
        }
    }
    return 0;
}

static void print_results(const struct settings *settings, struct series *series)
{
    for (size_t i = 0; i < ALLOC_CASE_COUNT; i++) {
        const struct alloc_case *which = &alloc_cases[i];
        if (!is_wanted(settings, which, 0))
            continue;
        if (alloc_case_is_memory(which))
            print_memory(&series[i], which);
        else
            print_times(&series[i], which, settings->rounds);
    }
}

int main(int argc, char **argv)
{
    static struct series series[ALLOC_CASE_COUNT];
    struct settings settings = {.rounds = 5, .milliseconds = 50};
    read_flags(argc, argv, &settings);
    int status = run_rounds(&settings, series);
    if (status == 0)
        print_results(&settings, series);
    return status == 0 ? 0 : 1;
}
