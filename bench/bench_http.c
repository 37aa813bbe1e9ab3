/* CPU time per request of the HTTP example over the floor's, and that of other servers where they
 * are installed. Every round measures each variant in a process of its own. */
#define _GNU_SOURCE /* NOLINT(readability-identifier-naming): the C library's name for it */
#include "figures.h"
#include "flags.h"
#include "http_load.h"
#include "process.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS_MAX    100
#define WARM_UP_SHARE 10

#define SERVER "../examples/http_server"

struct variant {
    const char *name;
    const char *program;
    const char *args[7];
};

#define OURS(backend, handler)                                             \
    {                                                                      \
        "--backend", backend, "--handler", handler, "--pollers", "1", NULL \
    }

/* The first is what the others are compared with; measured twice, it shows the noise. */
static const struct variant variants[] = {
    {"floor", "floor", {"--http", NULL}},
    {"floor_again", "floor", {"--http", NULL}},
    {"epoll_inline", SERVER, OURS("epoll", "inline")},
    {"io_uring_inline", SERVER, OURS("io_uring", "inline")},
    {"auto_inline", SERVER, OURS("auto", "inline")},
    {"epoll_pool", SERVER, OURS("epoll", "pool")},
    {"auto_pool", SERVER, OURS("auto", "pool")},
    {"nginx", "peers/nginx", {NULL}},
    {"fasthttp", "peers/go_server", {"fasthttp", NULL}},
    {"net_http", "peers/go_server", {"net_http", NULL}},
};

#define VARIANT_COUNT (sizeof variants / sizeof variants[0])

struct settings {
    uint32_t rounds;
    uint32_t requests;
    uint32_t connections;
    uint32_t pipelined;
    const struct variant *only; /* beside the floor; NULL: all */
};

struct bench {
    struct settings settings;
    unsigned cpus[2];
    bool skipped[VARIANT_COUNT];
    double cpu_ns[VARIANT_COUNT][ROUNDS_MAX]; /* per request */
};

static bool parse_variant(const struct flag *flag, const char *text)
{
    for (size_t i = 1; i < VARIANT_COUNT; i++) {
        if (strcmp(variants[i].name, text) == 0) {
            *(const struct variant **)flag->into = &variants[i];
            return true;
        }
    }
    return false;
}

static struct flag count_flag(const char *name, const char *help, uint32_t *into, uint32_t max)
{
    return (struct flag){.name = name,
                         .value = "N",
                         .help = help,
                         .parse = flag_number,
                         .into = into,
                         .min = 1,
                         .max = max};
}

static void read_flags(int argc, char **argv, struct settings *out)
{
    static const char names[] = "floor_again, epoll_inline, io_uring_inline, auto_inline, "
                                "epoll_pool, auto_pool, nginx, fasthttp or net_http";
    const struct flag flags[] = {
        count_flag("--rounds", "(5)", &out->rounds, ROUNDS_MAX),
        count_flag("--requests", "of one measurement, a warm-up of a tenth beside (300000)",
                   &out->requests, UINT32_MAX),
        count_flag("--connections", "(64)", &out->connections, 65536),
        count_flag("--pipelined", "requests at a time on a connection (1)", &out->pipelined, 256),
        {.name = "--variant",
         .value = "NAME",
         .help = names,
         .must_be = names,
         .parse = parse_variant,
         .into = &out->only},
    };
    const struct flag_set set = {
        .program = "bench_http",
        .summary = "CPU time per request of http_server over that of the floor, GET /.",
        .flags = flags,
        .count = sizeof flags / sizeof flags[0]};
    flags_parse(&set, argc, argv);
}

static int complain(const struct variant *variant, const char *what, int error)
{
    fprintf(stderr, "bench_http: %s: %s: %s\n", variant->name, what, strerror(-error));
    return error;
}

static int run_measured(struct bench *bench, const struct process *server, struct http_load *load,
                        double *cpu_ns)
{
    const struct settings *settings = &bench->settings;
    struct http_load_result result;
    struct process_usage before;
    struct process_usage after;
    int status = http_load_run(load, settings->requests / WARM_UP_SHARE, &result);
    if (status == 0)
        status = process_usage_read(server, &before);
    if (status == 0)
        status = http_load_run(load, settings->requests, &result);
    if (status == 0)
        status = process_usage_read(server, &after);
    if (status != 0)
        return status;
    *cpu_ns = (double)(after.cpu_ns - before.cpu_ns) / (double)result.done;
    fprintf(stderr, "%7.0f ns/request %8.0f/s  p50 %6.0f us  p99 %6.0f us\n", *cpu_ns,
            (double)result.done / result.seconds, result.p50_us, result.p99_us);
    return 0;
}

static int load_server(struct bench *bench, const struct process *server, double *cpu_ns)
{
    const struct http_load_options options = {.address = server->address,
                                              .connections = bench->settings.connections,
                                              .pipelined = bench->settings.pipelined};
    struct http_load *load;
    int status = http_load_open(&options, &load);
    if (status == 0)
        status = run_measured(bench, server, load, cpu_ns);
    http_load_close(load);
    return status;
}

/* A server that is not there, or a backend that the kernel refuses; it has just said so. */
static int skip(struct bench *bench, size_t variant)
{
    if (variants[variant].program == variants[0].program)
        return complain(&variants[variant], "the server did not start", -ENOTSUP);
    fprintf(stderr, "  %s skipped\n", variants[variant].name);
    bench->skipped[variant] = true;
    return 0;
}

static int measure(struct bench *bench, size_t variant, uint32_t round)
{
    const struct variant *it = &variants[variant];
    const struct process_cpus cpus = {.ids = bench->cpus, .count = 1};
    struct process server;
    int status = process_start(it->program, it->args, &cpus, &server);
    if (status == -ENOTSUP)
        return skip(bench, variant);
    if (status != 0)
        return complain(it, "cannot start the server", status);
    fprintf(stderr, "  %-16s", it->name);
    status = load_server(bench, &server, &bench->cpu_ns[variant][round]);
    if (status != 0)
        complain(it, "the load failed", status);
    int stopped = process_stop(&server);
    if (stopped != 0)
        complain(it, "the server did not end well", stopped);
    return status != 0 ? status : stopped;
}

static bool is_wanted(const struct bench *bench, size_t variant)
{
    const struct variant *only = bench->settings.only;
    return !bench->skipped[variant] && (only == NULL || only == &variants[variant] || variant == 0);
}

static int run_rounds(struct bench *bench)
{
    int status = 0;
    for (uint32_t round = 0; round < bench->settings.rounds && status == 0; round++) {
        fprintf(stderr, "round %u of %u\n", round + 1, bench->settings.rounds);
        for (size_t i = 0; i < VARIANT_COUNT && status == 0; i++) {
            if (is_wanted(bench, i))
                status = measure(bench, i, round);
        }
    }
    return status;
}

static void print_results(const struct bench *bench)
{
    const struct settings *settings = &bench->settings;
    char prefix[64];
    double values[ROUNDS_MAX];
    snprintf(prefix, sizeof prefix, "http_hello_c%u_p%u", settings->connections,
             settings->pipelined);
    for (size_t i = 1; i < VARIANT_COUNT; i++) {
        if (!is_wanted(bench, i))
            continue;
        for (uint32_t round = 0; round < settings->rounds; round++)
            values[round] = bench->cpu_ns[i][round] / bench->cpu_ns[0][round];
        struct quartiles ratio = figures_quartiles(values, settings->rounds);
        printf("%s_%s_ratio %.3f x\n", prefix, variants[i].name, ratio.median);
        printf("%s_%s_ratio_q1 %.3f x\n", prefix, variants[i].name, ratio.first);
        printf("%s_%s_ratio_q3 %.3f x\n", prefix, variants[i].name, ratio.third);
    }
    memcpy(values, bench->cpu_ns[0], settings->rounds * sizeof values[0]);
    printf("%s_floor_cpu %.0f ns/request\n", prefix,
           figures_quartiles(values, settings->rounds).median);
}

int main(int argc, char **argv)
{
    static struct bench bench = {
        .settings = {.rounds = 5, .requests = 300000, .connections = 64, .pipelined = 1}};
    read_flags(argc, argv, &bench.settings);
    if (process_pick_cpus(bench.cpus) != 0) {
        fprintf(stderr, "bench_http: needs two CPUs, one for the server and one for the load\n");
        return 1;
    }
    int status = process_pin(bench.cpus[1]);
    if (status == 0)
        status = run_rounds(&bench);
    if (status != 0)
        return 1;
    print_results(&bench);
    return 0;
}
