/* linkbuffer against libevent's evbuffer, both in this process, a turn each. */
#define _GNU_SOURCE /* NOLINT(readability-identifier-naming): the C library's name for it */
#include "buffer_case.h"
#include "figures.h"
#include "flags.h"
#include "process.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define CHUNK_NS   5e5 /* two in a millisecond */
#define ROUNDS_MAX 1000

static const struct buffer_case {
    const char *name;
    enum buffer_op op;
    size_t size;
} cases[] = {
    {"write_64", BUFFER_WRITE, 64},
    {"write_1024", BUFFER_WRITE, 1024},
    {"write_16384", BUFFER_WRITE, 16384},
    {"write_65536", BUFFER_WRITE, 65536},
    {"in_place_64", BUFFER_IN_PLACE, 64},
    {"in_place_1024", BUFFER_IN_PLACE, 1024},
    {"in_place_16384", BUFFER_IN_PLACE, 16384},
    {"in_place_65536", BUFFER_IN_PLACE, 65536},
    {"slice_64", BUFFER_SLICE, 64},
    {"slice_1024", BUFFER_SLICE, 1024},
    {"slice_16384", BUFFER_SLICE, 16384},
    {"slice_65536", BUFFER_SLICE, 65536},
    {"slice_ref_16384", BUFFER_SLICE_REF, 16384},
    {"append_64", BUFFER_APPEND, 64},
    {"append_1024", BUFFER_APPEND, 1024},
    {"append_16384", BUFFER_APPEND, 16384},
    {"append_65536", BUFFER_APPEND, 65536},
    {"move_1_piece", BUFFER_MOVE, 1},
    {"move_64_pieces", BUFFER_MOVE, 64},
    {"framing_200", BUFFER_FRAMING, 0},
    {"framing_200_each", BUFFER_FRAMING_EACH, 0},
    {"write_direct_1024", BUFFER_DIRECT, 1024},
};

#define CASE_COUNT (sizeof cases / sizeof cases[0])

/* The first has every operation. */
static const struct buffer_side *const sides[] = {&buffer_ours, &buffer_evbuffer};

#define SIDE_COUNT (sizeof sides / sizeof sides[0])

struct settings {
    uint32_t rounds;
    uint32_t milliseconds;
    const struct buffer_case *only; /* NULL: all */
};

/* Nanoseconds of one case, by side and round. */
struct series {
    double ns[SIDE_COUNT][ROUNDS_MAX];
};

static bool parse_case(const struct flag *flag, const char *text)
{
    for (size_t i = 0; i < CASE_COUNT; i++) {
        if (strcmp(cases[i].name, text) == 0) {
            *(const struct buffer_case **)flag->into = &cases[i];
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
        {.name = "--only",
         .value = "CASE",
         .help = "write_64, slice_1024, framing_200, ... (all)",
         .must_be = "a result's name without \"linkbuffer_\"",
         .parse = parse_case,
         .into = &out->only},
    };
    const struct flag_set set = {
        .program = "bench_linkbuffer",
        .summary = "linkbuffer against libevent's evbuffer: ns, ratios theirs to ours.",
        .flags = flags,
        .count = sizeof flags / sizeof flags[0]};
    flags_parse(&set, argc, argv);
}

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double time_chunk(buffer_op_fn *op, size_t size, uint64_t count)
{
    double start = now_ns();
    op(size, count);
    return now_ns() - start;
}

/* Nanoseconds per operation: the median of chunks of about the same time. */
static double measure(buffer_op_fn *op, size_t size, uint32_t milliseconds)
{
    static double chunks[2 * 60000];
    uint64_t count = 256;
    while (time_chunk(op, size, count) < CHUNK_NS)
        count *= 2;
    size_t wanted = 2 * (size_t)milliseconds;
    for (size_t i = 0; i < wanted; i++)
        chunks[i] = time_chunk(op, size, count) / (double)count;
    return figures_quartiles(chunks, wanted).median;
}

static buffer_op_fn *op_of(size_t side, size_t which)
{
    return sides[side]->ops[cases[which].op];
}

static void run_case(const struct settings *settings, size_t which, uint32_t round,
                     struct series *out)
{
    fprintf(stderr, "  %-18s", cases[which].name);
    for (size_t i = 0; i < SIDE_COUNT; i++) {
        /* The other one first in every round. */
        size_t turn = (i + round) % SIDE_COUNT;
        buffer_op_fn *op = op_of(turn, which);
        if (op != NULL)
            out->ns[turn][round] = measure(op, cases[which].size, settings->milliseconds);
    }
    for (size_t i = 0; i < SIDE_COUNT && op_of(i, which) != NULL; i++)
        fprintf(stderr, " %10.1f", out->ns[i][round]);
    fputc('\n', stderr);
}

static void print_ratio(const char *name, const struct series *series, uint32_t rounds)
{
    static double ratios[ROUNDS_MAX];
    for (uint32_t round = 0; round < rounds; round++)
        ratios[round] = series->ns[1][round] / series->ns[0][round];
    struct quartiles ratio = figures_quartiles(ratios, rounds);
    printf("linkbuffer_%s_speedup %.2f ratio\n", name, ratio.median);
    printf("linkbuffer_%s_speedup_q1 %.2f ratio\n", name, ratio.first);
    printf("linkbuffer_%s_speedup_q3 %.2f ratio\n", name, ratio.third);
}

static void print_case(size_t which, struct series *series, uint32_t rounds)
{
    const char *name = cases[which].name;
    if (op_of(1, which) != NULL)
        print_ratio(name, series, rounds);
    for (size_t i = 0; i < SIDE_COUNT && op_of(i, which) != NULL; i++)
        printf("%s_%s %.1f ns\n", sides[i]->name, name,
               figures_quartiles(series->ns[i], rounds).median);
}

/* False when bytes were copied that may not be. */
static bool print_copied(void)
{
    size_t contiguous = buffer_copied_contiguous();
    size_t by_reference = buffer_copied_write_ref();
    printf("linkbuffer_copied_contiguous %zu bytes\n", contiguous);
    printf("linkbuffer_copied_write_ref %zu bytes\n", by_reference);
    printf("linkbuffer_copied_framing_200 %.1f bytes/message\n", buffer_copied_framing());
    return contiguous == 0 && by_reference == 0;
}

static bool is_wanted(const struct settings *settings, size_t which)
{
    return settings->only == NULL || settings->only == &cases[which];
}

int main(int argc, char **argv)
{
    struct settings settings = {.rounds = 9, .milliseconds = 20};
    unsigned cpus[2];
    read_flags(argc, argv, &settings);
    static struct series series[CASE_COUNT];
    if (process_pick_cpus(cpus) == 0 && process_pin(cpus[0]) != 0)
        perror("bench_linkbuffer: cannot stay on one CPU");
    memset(buffer_source, 's', BUFFER_SOURCE_BYTES);
    for (uint32_t round = 0; round < settings.rounds; round++) {
        fprintf(stderr, "round %u of %u\n  %-18s %10s %10s\n", round + 1, settings.rounds, "",
                sides[0]->name, sides[1]->name);
        for (size_t i = 0; i < CASE_COUNT; i++) {
            if (is_wanted(&settings, i))
                run_case(&settings, i, round, &series[i]);
        }
    }
    for (size_t i = 0; i < CASE_COUNT; i++) {
        if (is_wanted(&settings, i))
            print_case(i, &series[i], settings.rounds);
    }
    return settings.only != NULL || print_copied() ? 0 : 1;
}
