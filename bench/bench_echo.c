/* CPU time per request of a framed echo over the floor's, and what handlers that sleep do to the
 * latency of the others. Every round measures each variant in a server process of its own, so that
 * slow changes of the machine touch all of them. */
#define _GNU_SOURCE /* NOLINT(readability-identifier-naming): the C library's name for it */
#include "echo_case.h"
#include "figures.h"
#include "flags.h"
#include "frame.h"
#include "process.h"
#include "sleep_mark.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define NAME_BYTES 96

#define RPC_SERVER   "../examples/rpc_server"
#define SLEEP_SERVER "sleep_server"
/* More than sleep at a time, at the rates that two cores reach with one handler in a hundred. */
#define SLEEP_WORKERS   "32"
#define DEFAULT_WORKERS "0"

/* The first is what the others are compared with; measured twice, it shows the noise. */
static const struct echo_variant variants[] = {
    {.name = "floor"},
    {.name = "floor_again"},
    {.name = "epoll_inline", .backend = "epoll", .handler = "inline"},
    {.name = "epoll_pool", .backend = "epoll", .handler = "pool"},
    {.name = "io_uring_inline", .backend = "io_uring", .handler = "inline"},
    {.name = "io_uring_pool", .backend = "io_uring", .handler = "pool"},
    {.name = "auto_inline", .backend = "auto", .handler = "inline"},
    {.name = "auto_pool", .backend = "auto", .handler = "pool"},
};

#define VARIANT_COUNT (sizeof variants / sizeof variants[0])

static const struct echo_place places[] = {
    {.name = "one_core", .cpus = 1},
    {.name = "both_cores", .cpus = 2},
};

#define PLACE_COUNT (sizeof places / sizeof places[0])

/* What is measured of one variant in one place: the same with handlers that sleep comes second. */
#define KIND_COUNT 2

struct settings {
    uint32_t rounds;
    struct echo_load load;
    const struct echo_variant *only; /* beside the floor; NULL: all */
    const char *handler;             /* of the variants beside the floor; NULL: any */
    const struct echo_place *place;  /* NULL: all */
};

struct bench {
    struct settings settings;
    char prefix[NAME_BYTES]; /* of the results' names */
    unsigned cpus[2];
    char *frame;
    double *scratch; /* a value for each round */
    uint64_t lost;
    bool skipped[VARIANT_COUNT];
    struct echo_figures *figures; /* see figures_of() */
};

static bool parse_variant(const struct flag *flag, const char *text)
{
    for (size_t i = 1; i < VARIANT_COUNT; i++) {
        if (strcmp(variants[i].name, text) == 0) {
            *(const struct echo_variant **)flag->into = &variants[i];
            return true;
        }
    }
    return false;
}

static bool parse_handler(const struct flag *flag, const char *text)
{
    if (strcmp(text, "inline") != 0 && strcmp(text, "pool") != 0)
        return false;
    *(const char **)flag->into = text;
    return true;
}

static bool parse_place(const struct flag *flag, const char *text)
{
    for (size_t i = 0; i < PLACE_COUNT; i++) {
        if (strcmp(places[i].name, text) == 0) {
            *(const struct echo_place **)flag->into = &places[i];
            return true;
        }
    }
    return false;
}

static struct flag count_flag(const char *name, const char *help, uint32_t *into, uint32_t min,
                              uint32_t max)
{
    return (struct flag){.name = name,
                         .value = "N",
                         .help = help,
                         .parse = flag_number,
                         .into = into,
                         .min = min,
                         .max = max};
}

static void read_flags(int argc, char **argv, struct settings *out)
{
    static const char variant_names[] =
        "floor_again, or epoll, io_uring or auto with _inline or _pool";
    static const char place_names[] = "one_core or both_cores";
    const struct flag flags[] = {
        count_flag("--rounds", "(5)", &out->rounds, 1, 1000),
        count_flag("--requests", "of one measurement, a warm-up of a tenth beside (300000)",
                   &out->load.requests, 10, UINT32_MAX),
        count_flag("--connections", "(100)", &out->load.connections, 1, 65536),
        {.name = "--size",
         .value = "BYTES",
         .help = "payload of a frame (1024)",
         .parse = flag_number,
         .into = &out->load.size,
         .max = 16 << 20},
        {.name = "--variant",
         .value = "NAME",
         .help = variant_names,
         .must_be = variant_names,
         .parse = parse_variant,
         .into = &out->only},
        {.name = "--handler",
         .value = "NAME",
         .help = "inline or pool: only these variants",
         .must_be = "inline or pool",
         .parse = parse_handler,
         .into = &out->handler},
        {.name = "--place",
         .value = "NAME",
         .help = "of the server: one_core or both_cores, with the load on the second",
         .must_be = place_names,
         .parse = parse_place,
         .into = &out->place},
        {.name = "--sleepers",
         .value = "PERMILLE",
         .help = "handlers that sleep 5 ms; compares the others' latency instead (0)",
         .parse = flag_number,
         .into = &out->load.sleepers,
         .max = 1000},
    };
    const struct flag_set set = {
        .program = "bench_echo",
        .summary = "CPU time per request of rpc_server over that of the floor, framed echo.",
        .flags = flags,
        .count = sizeof flags / sizeof flags[0]};
    flags_parse(&set, argc, argv);
}

static bool has_sleepers(const struct bench *bench)
{
    return bench->settings.load.sleepers > 0;
}

/* One for each round. */
static struct echo_figures *figures_of(const struct bench *bench, size_t place, size_t variant,
                                       size_t kind)
{
    size_t row = (place * VARIANT_COUNT + variant) * KIND_COUNT + kind;
    return &bench->figures[row * bench->settings.rounds];
}

static bool is_place_wanted(const struct bench *bench, size_t place)
{
    return bench->settings.place == NULL || bench->settings.place == &places[place];
}

/* Handlers that sleep belong on the pool. */
static bool is_wanted(const struct bench *bench, size_t variant)
{
    const struct echo_variant *it = &variants[variant];
    const struct echo_variant *only = bench->settings.only;
    if (bench->skipped[variant])
        return false;
    const char *handler = has_sleepers(bench) ? "pool" : bench->settings.handler;
    if (it->handler == NULL && has_sleepers(bench))
        return false;
    if (it->handler != NULL && handler != NULL && strcmp(it->handler, handler) != 0)
        return false;
    return only == NULL || only == it || (variant == 0 && !has_sleepers(bench));
}

/* Only a backend may be missing; the log of the server has just said why. */
static int skip(struct bench *bench, size_t variant)
{
    const char *backend = variants[variant].backend;
    if (backend == NULL || strcmp(backend, "io_uring") != 0)
        return echo_complain(&variants[variant], "the server did not start", -ENOTSUP);
    fprintf(stderr, "  %s skipped: the server refuses %s\n", variants[variant].name, backend);
    bench->skipped[variant] = true;
    return 0;
}

/* Without sleepers, then with them where there are any. */
static int measure(struct bench *bench, size_t place, size_t variant, uint32_t round)
{
    struct echo_load load = bench->settings.load;
    const struct echo_case run = {.variant = &variants[variant],
                                  .place = &places[place],
                                  .load = &load,
                                  .cpus = bench->cpus,
                                  .server = has_sleepers(bench) ? SLEEP_SERVER : RPC_SERVER,
                                  .workers = has_sleepers(bench) ? SLEEP_WORKERS : DEFAULT_WORKERS};
    load.sleepers = 0;
    int status = echo_measure(&run, &figures_of(bench, place, variant, 0)[round], &bench->lost);
    if (status != 0 || !has_sleepers(bench))
        return status;
    load.sleepers = bench->settings.load.sleepers;
    return echo_measure(&run, &figures_of(bench, place, variant, 1)[round], &bench->lost);
}

static int run_round(struct bench *bench, size_t place, uint32_t round)
{
    for (size_t i = 0; i < VARIANT_COUNT; i++) {
        if (!is_wanted(bench, i))
            continue;
        int status = measure(bench, place, i, round);
        if (status == -ENOTSUP)
            status = skip(bench, i);
        if (status != 0)
            return status;
    }
    return 0;
}

static int run_rounds(struct bench *bench)
{
    int status = 0;
    for (uint32_t round = 0; round < bench->settings.rounds && status == 0; round++) {
        fprintf(stderr, "round %u of %u\n", round + 1, bench->settings.rounds);
        for (size_t place = 0; place < PLACE_COUNT && status == 0; place++) {
            if (is_place_wanted(bench, place))
                status = run_round(bench, place, round);
        }
    }
    return status;
}

static void print(const char *name, const char *what, struct quartiles value, const char *unit)
{
    printf("%s_%s %.3f %s\n", name, what, value.median, unit);
    printf("%s_%s_q1 %.3f %s\n", name, what, value.first, unit);
    printf("%s_%s_q3 %.3f %s\n", name, what, value.third, unit);
}

/* Quartiles over the rounds of a figure, or of its ratio to another measurement's. */
static struct quartiles over_rounds(struct bench *bench, const struct echo_figures *figures,
                                    const struct echo_figures *base, size_t member)
{
    uint32_t rounds = bench->settings.rounds;
    for (uint32_t round = 0; round < rounds; round++) {
        double value = *(const double *)((const char *)&figures[round] + member);
        if (base != NULL)
            value /= *(const double *)((const char *)&base[round] + member);
        bench->scratch[round] = value;
    }
    return figures_quartiles(bench->scratch, rounds);
}

#define OVER_ROUNDS(bench, figures, base, member) \
    over_rounds(bench, figures, base, offsetof(struct echo_figures, member))

static void print_latency(struct bench *bench, const struct echo_figures *with,
                          const struct echo_figures *without, const char *name)
{
    print(name, "p99_ratio", OVER_ROUNDS(bench, with, without, p99_us), "x");
    print(name, "p50_ratio", OVER_ROUNDS(bench, with, without, p50_us), "x");
    print(name, "p99", OVER_ROUNDS(bench, with, NULL, p99_us), "us");
    print(name, "p99_without", OVER_ROUNDS(bench, without, NULL, p99_us), "us");
    print(name, "p50", OVER_ROUNDS(bench, with, NULL, p50_us), "us");
    print(name, "p50_without", OVER_ROUNDS(bench, without, NULL, p50_us), "us");
}

/* The server on one core is the usual place and has no name in the results. */
static void print_place(struct bench *bench, size_t place)
{
    const char *where = place == 0 ? "" : "_both_cores";
    const struct echo_figures *floor = figures_of(bench, place, 0, 0);
    char name[2 * NAME_BYTES];
    for (size_t i = has_sleepers(bench) ? 0 : 1; i < VARIANT_COUNT; i++) {
        if (!is_wanted(bench, i))
            continue;
        const struct echo_figures *figures = figures_of(bench, place, i, 0);
        snprintf(name, sizeof name, "%s_%s%s", bench->prefix, variants[i].name, where);
        if (has_sleepers(bench))
            print_latency(bench, figures_of(bench, place, i, 1), figures, name);
        else
            print(name, "ratio", OVER_ROUNDS(bench, figures, floor, cpu_ns), "x");
    }
    if (!has_sleepers(bench))
        printf("%s_floor%s_cpu %.0f ns/request\n", bench->prefix, where,
               OVER_ROUNDS(bench, floor, NULL, cpu_ns).median);
}

static void print_results(struct bench *bench)
{
    for (size_t place = 0; place < PLACE_COUNT; place++) {
        if (is_place_wanted(bench, place))
            print_place(bench, place);
    }
}

static void set_prefix(struct bench *bench)
{
    const struct echo_load *load = &bench->settings.load;
    uint32_t size = load->size;
    const char *unit = "b";
    if (size >= 1024 && size % 1024 == 0) {
        size /= 1024;
        unit = "k";
    }
    int n = snprintf(bench->prefix, sizeof bench->prefix, "echo_%u%s_c%u", size, unit,
                     load->connections);
    if (has_sleepers(bench))
        snprintf(bench->prefix + n, sizeof bench->prefix - (size_t)n, "_sleepers%u",
                 load->sleepers);
}

static int allocate(struct bench *bench)
{
    uint32_t rounds = bench->settings.rounds;
    bench->frame = frame_create(bench->settings.load.size);
    bench->scratch = calloc(rounds, sizeof *bench->scratch);
    bench->figures =
        calloc(PLACE_COUNT * VARIANT_COUNT * KIND_COUNT * rounds, sizeof *bench->figures);
    if (bench->frame == NULL || bench->scratch == NULL || bench->figures == NULL)
        return -ENOMEM;
    bench->settings.load.frame = bench->frame;
    return 0;
}

static bool is_any_wanted(const struct bench *bench)
{
    size_t variant = 0;
    while (variant < VARIANT_COUNT && !is_wanted(bench, variant))
        variant++;
    return variant < VARIANT_COUNT;
}

static int prepare(struct bench *bench)
{
    int status = process_pick_cpus(bench->cpus);
    if (status != 0) {
        fprintf(stderr, "bench_echo: needs two CPUs, one for the server and one for the load\n");
        return status;
    }
    set_prefix(bench);
    status = allocate(bench);
    if (status != 0)
        return status;
    /* Servers inherit it. Without the right to raise it the connections tell. */
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    return process_pin(bench->cpus[1]);
}

static void release(struct bench *bench)
{
    free(bench->figures);
    free(bench->scratch);
    free(bench->frame);
}

int main(int argc, char **argv)
{
    struct bench bench = {
        .settings = {.rounds = 5, .load = {.requests = 300000, .connections = 100, .size = 1024}}};
    read_flags(argc, argv, &bench.settings);
    if (has_sleepers(&bench) && bench.settings.load.size <= SLEEP_MARK_OFFSET) {
        fprintf(stderr, "bench_echo: --sleepers needs a --size above %d\n", SLEEP_MARK_OFFSET);
        return 2;
    }
    if (!is_any_wanted(&bench))
        fprintf(stderr, "bench_echo: only pool variants have handlers that may sleep\n");
    int status = prepare(&bench);
    if (status == 0)
        status = run_rounds(&bench);
    if (status == 0)
        print_results(&bench);
    printf("%s_requests_lost %" PRIu64 " requests\n", bench.prefix, bench.lost);
    release(&bench);
    return status == 0 && bench.lost == 0 ? 0 : 1;
}
