/* What one allocator takes for one case. The same sources are built once per allocator, and
 * bench_allocators compares them. */
#define _GNU_SOURCE /* NOLINT(readability-identifier-naming): the C library's name for it */
#include "alloc_work.h"
#include "figures.h"
#include "flags.h"
#include "process.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define NS_PER_MS  1e6
#define WARM_UP_NS 20e6
#define CHUNK_NS   5e5
#define CHUNKS_MIN 9
#define CHUNKS_MAX 10000
#define DEPTH_MAX  4096

struct settings {
    const struct alloc_case *which;
    uint32_t milliseconds; /* beside the warm-up */
    unsigned cpus[2];      /* the second one frees in ALLOC_CROSS */
    int cpu_count;
};

/* One case under way. */
struct measurement {
    struct alloc_run run;
    struct alloc_cross *cross; /* NULL: the work is done on one thread */
    uint64_t pairs;            /* of one chunk */
};

/* Time of this thread where it works alone, so that others on the machine do not count; time of
   the clock where two threads wait for each other. */
static double now_ns(const struct measurement *measurement)
{
    struct timespec t;
    clock_gettime(measurement->cross != NULL ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* One chunk of pairs: nanoseconds for all of them, and how many there were. */
static double time_chunk(struct measurement *measurement, uint64_t *done)
{
    double start = now_ns(measurement);
    if (measurement->cross != NULL)
        *done = alloc_cross_do(measurement->cross, measurement->pairs);
    else
        *done = alloc_work_do(&measurement->run, measurement->pairs);
    return now_ns(measurement) - start;
}

/* Lets the allocator get the pages it needs, and finds how many pairs make a chunk. */
static void warm_up(struct measurement *measurement)
{
    uint64_t done;
    measurement->pairs = 64;
    for (double left = WARM_UP_NS; left > 0;) {
        double ns = time_chunk(measurement, &done);
        left -= ns;
        if (ns < CHUNK_NS)
            measurement->pairs *= 2;
    }
}

/* Nanoseconds per pair: the median of the chunks, so that what disturbs a few does not count. */
static double take_chunks(struct measurement *measurement, uint32_t milliseconds)
{
    static double chunks[CHUNKS_MAX];
    size_t count = 0;
    double left = (double)milliseconds * NS_PER_MS;
    while (count < CHUNKS_MAX && (left > 0 || count < CHUNKS_MIN)) {
        uint64_t done;
        double ns = time_chunk(measurement, &done);
        left -= ns;
        chunks[count++] = ns / (double)done;
    }
    return figures_quartiles(chunks, count).median;
}

static int measure_cross(const struct settings *settings, struct measurement *measurement,
                         double *ns_per_pair)
{
    if (settings->cpu_count < 2)
        return -ENODEV;
    int status = alloc_cross_start(measurement->run.which, settings->cpus[1], &measurement->cross);
    if (status != 0)
        return status;
    warm_up(measurement);
    *ns_per_pair = take_chunks(measurement, settings->milliseconds);
    alloc_cross_stop(measurement->cross);
    return 0;
}

static int measure(const struct settings *settings, const struct alloc_case *which, double *value)
{
    static void *blocks[DEPTH_MAX];
    struct measurement measurement = {.run = {.which = which, .blocks = blocks, .random = 1}};
    if (alloc_case_is_memory(which))
        return alloc_burst(which->work, value);
    if (which->work == ALLOC_CROSS)
        return measure_cross(settings, &measurement, value);
    warm_up(&measurement);
    *value = take_chunks(&measurement, settings->milliseconds);
    alloc_work_end(&measurement.run);
    return 0;
}

static bool parse_case(const struct flag *flag, const char *text)
{
    const struct alloc_case *found = alloc_case_find(text);
    *(const struct alloc_case **)flag->into = found;
    return found != NULL;
}

static void read_flags(int argc, char **argv, struct settings *out)
{
    const struct flag flags[] = {
        {.name = "--case",
         .value = "NAME",
         .help = "pair_64, ... as bench_allocators names its results (pair_64)",
         .must_be = "the name of a case",
         .parse = parse_case,
         .into = &out->which},
        {.name = "--milliseconds",
         .value = "N",
         .help = "beside the warm-up (50)",
         .parse = flag_number,
         .into = &out->milliseconds,
         .min = 1,
         .max = 60000},
    };
    const struct flag_set set = {
        .program = program_invocation_short_name,
        .summary = "One figure of one allocator; bench_allocators takes them all.",
        .flags = flags,
        .count = sizeof flags / sizeof flags[0]};
    flags_parse(&set, argc, argv);
}

int main(int argc, char **argv)
{
    struct settings settings = {.which = &alloc_cases[0], .milliseconds = 50};
    double value;
    read_flags(argc, argv, &settings);
    const struct alloc_case *which = settings.which;
    settings.cpu_count = process_pick_cpus(settings.cpus) == 0 ? 2 : 1;
    if (settings.cpu_count == 2 && process_pin(settings.cpus[0]) != 0)
        perror("bench: cannot stay on one CPU");
    int status = measure(&settings, which, &value);
    if (status != 0) {
        fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, which->name,
                status == -ENODEV ? "needs two CPUs" : strerror(-status));
        return 1;
    }
    printf("%s %.3f %s\n", which->name, value, alloc_case_is_memory(which) ? "percent" : "ns");
    return 0;
}
