/* CPU time per request of a framed echo over the floor's. Every round measures each variant in a
 * server process of its own, so that slow changes of the machine touch all of them. */
#define _GNU_SOURCE /* NOLINT(readability-identifier-naming): the C library's name for it */
#include "figures.h"
#include "flags.h"
#include "frame.h"
#include "load.h"
#include "process.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define PREFIX_BYTES  64
#define WARM_UP_SHARE 10 /* one in so many requests comes before the measurement */

#define FLOOR_PROGRAM  "floor"
#define SERVER_PROGRAM "../examples/rpc_server"

/* The first is what the others are compared with; measured twice, it shows the noise. */
static const struct variant {
    const char *name;
    const char *backend; /* NULL: the floor */
    const char *handler;
} variants[] = {
    {.name = "floor"},
    {.name = "floor_again"},
    {.name = "epoll_inline", .backend = "epoll", .handler = "inline"},
    {.name = "epoll_pool", .backend = "epoll", .handler = "pool"},
    {.name = "io_uring_inline", .backend = "io_uring", .handler = "inline"},
    {.name = "io_uring_pool", .backend = "io_uring", .handler = "pool"},
};

#define VARIANT_COUNT (sizeof variants / sizeof variants[0])

struct settings {
    uint32_t rounds;
    uint32_t requests;
    uint32_t connections;
    uint32_t size;
    const struct variant *only; /* beside the floor; NULL: all */
};

struct bench {
    struct settings settings;
    char prefix[PREFIX_BYTES]; /* of the results' names */
    unsigned server_cpu;       /* the load runs on another */
    char *frame;
    uint64_t lost;
    bool skipped[VARIANT_COUNT];
    double *ns[VARIANT_COUNT]; /* per request, by round */
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

static void read_flags(int argc, char **argv, struct settings *out)
{
    static const char names[] =
        "floor_again, epoll_inline, epoll_pool, io_uring_inline or io_uring_pool";
    const struct flag flags[] = {
        {.name = "--rounds",
         .value = "N",
         .help = "(5)",
         .parse = flag_number,
         .into = &out->rounds,
         .min = 1,
         .max = 1000},
        {.name = "--requests",
         .value = "N",
         .help = "of one measurement, a warm-up of a tenth beside (300000)",
         .parse = flag_number,
         .into = &out->requests,
         .min = WARM_UP_SHARE,
         .max = UINT32_MAX},
        {.name = "--connections",
         .value = "N",
         .help = "(100)",
         .parse = flag_number,
         .into = &out->connections,
         .min = 1,
         .max = 65536},
        {.name = "--size",
         .value = "BYTES",
         .help = "payload of a frame (1024)",
         .parse = flag_number,
         .into = &out->size,
         .max = 16 << 20},
        {.name = "--variant",
         .value = "NAME",
         .help = names,
         .must_be = names,
         .parse = parse_variant,
         .into = &out->only},
    };
    const struct flag_set set = {
        .program = "bench_echo",
        .summary = "CPU time per request of rpc_server over that of the floor, framed echo.",
        .flags = flags,
        .count = sizeof flags / sizeof flags[0]};
    flags_parse(&set, argc, argv);
}

static int complain(const struct variant *variant, const char *what, int error)
{
    fprintf(stderr, "bench_echo: %s: %s: %s\n", variant->name, what, strerror(-error));
    return error;
}

static int start_server(const struct bench *bench, const struct variant *variant,
                        struct process *out)
{
    if (variant->backend == NULL)
        return process_start(FLOOR_PROGRAM, (const char *const[]){NULL}, bench->server_cpu, out);
    const char *const args[] = {
        "--backend", variant->backend, "--handler", variant->handler, "--pollers", "1", NULL};
    return process_start(SERVER_PROGRAM, args, bench->server_cpu, out);
}

static int run(struct bench *bench, struct load *load, uint32_t requests, struct load_result *out)
{
    int status = load_run(load, (struct load_limit){.requests = requests}, out);
    bench->lost += out->sent - out->done;
    return status;
}

static int run_measured(struct bench *bench, struct load *load, const struct process *server,
                        double *ns_per_request)
{
    static struct load_result result;
    uint64_t before;
    uint64_t after;
    int status = run(bench, load, bench->settings.requests / WARM_UP_SHARE, &result);
    if (status == 0)
        status = process_cpu_ns(server, &before);
    if (status == 0)
        status = run(bench, load, bench->settings.requests, &result);
    if (status == 0)
        status = process_cpu_ns(server, &after);
    if (status != 0)
        return status;
    *ns_per_request = (double)(after - before) / (double)result.done;
    fprintf(stderr, "%7.0f ns/request %8.0f/s  p50 %6.0f us  p99 %6.0f us\n", *ns_per_request,
            (double)result.done / result.seconds,
            (double)latency_quantile(&result.latency, 0.50) / 1e3,
            (double)latency_quantile(&result.latency, 0.99) / 1e3);
    return 0;
}

static int load_server(struct bench *bench, const struct process *server, double *ns_per_request)
{
    const struct settings *settings = &bench->settings;
    const struct load_options options = {.address = server->address,
                                         .connections = settings->connections,
                                         .message = bench->frame,
                                         .size = FRAME_HEAD_BYTES + settings->size,
                                         .stamp_offset = FRAME_HEAD_BYTES};
    struct load *load;
    int status = load_open(&options, &load);
    if (status == 0)
        status = run_measured(bench, load, server, ns_per_request);
    load_close(load);
    return status;
}

/* 0; -ENOTSUP when the server refuses to start; -errno, said. */
static int measure(struct bench *bench, const struct variant *variant, double *ns_per_request)
{
    struct process server;
    int status = start_server(bench, variant, &server);
    if (status == -ENOTSUP)
        return status;
    if (status != 0)
        return complain(variant, "cannot start the server", status);
    fprintf(stderr, "  %-16s", variant->name);
    status = load_server(bench, &server, ns_per_request);
    if (status != 0)
        complain(variant, "the load failed", status);
    int stopped = process_stop(&server);
    if (stopped != 0)
        complain(variant, "the server did not end well", stopped);
    return status != 0 ? status : stopped;
}

static bool is_wanted(const struct bench *bench, size_t variant)
{
    const struct variant *only = bench->settings.only;
    return !bench->skipped[variant] && (variant == 0 || only == NULL || only == &variants[variant]);
}

/* Only a backend may be missing; the log of the server has just said why. */
static int skip(struct bench *bench, size_t variant)
{
    const char *backend = variants[variant].backend;
    if (backend == NULL || strcmp(backend, "io_uring") != 0)
        return complain(&variants[variant], "the server did not start", -ENOTSUP);
    fprintf(stderr, "  %-16s skipped: the server refuses %s\n", variants[variant].name, backend);
    bench->skipped[variant] = true;
    return 0;
}

static int run_rounds(struct bench *bench)
{
    for (uint32_t round = 0; round < bench->settings.rounds; round++) {
        fprintf(stderr, "round %u of %u\n", round + 1, bench->settings.rounds);
        for (size_t i = 0; i < VARIANT_COUNT; i++) {
            if (!is_wanted(bench, i))
                continue;
            int status = measure(bench, &variants[i], &bench->ns[i][round]);
            if (status == -ENOTSUP)
                status = skip(bench, i);
            if (status != 0)
                return status;
        }
    }
    return 0;
}

static void print_ratio(struct bench *bench, size_t variant)
{
    uint32_t rounds = bench->settings.rounds;
    const char *name = variants[variant].name;
    double *ratios = bench->ns[variant];
    for (uint32_t round = 0; round < rounds; round++)
        ratios[round] /= bench->ns[0][round];
    struct quartiles ratio = figures_quartiles(ratios, rounds);
    printf("%s_%s_ratio %.3f x\n", bench->prefix, name, ratio.median);
    printf("%s_%s_ratio_q1 %.3f x\n", bench->prefix, name, ratio.first);
    printf("%s_%s_ratio_q3 %.3f x\n", bench->prefix, name, ratio.third);
}

static void print_results(struct bench *bench)
{
    for (size_t i = 1; i < VARIANT_COUNT; i++) {
        if (is_wanted(bench, i))
            print_ratio(bench, i);
    }
    struct quartiles floor = figures_quartiles(bench->ns[0], bench->settings.rounds);
    printf("%s_floor_cpu %.0f ns/request\n", bench->prefix, floor.median);
}

static void set_prefix(struct bench *bench)
{
    uint32_t size = bench->settings.size;
    const char *unit = "b";
    if (size >= 1024 && size % 1024 == 0) {
        size /= 1024;
        unit = "k";
    }
    snprintf(bench->prefix, sizeof bench->prefix, "echo_%u%s_c%u", size, unit,
             bench->settings.connections);
}

static int prepare(struct bench *bench)
{
    unsigned cpus[2];
    int status = process_pick_cpus(cpus);
    if (status != 0) {
        fprintf(stderr, "bench_echo: needs two CPUs, one for the server and one for the load\n");
        return status;
    }
    bench->server_cpu = cpus[0];
    set_prefix(bench);
    bench->frame = frame_create(bench->settings.size);
    if (bench->frame == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < VARIANT_COUNT; i++) {
        bench->ns[i] = calloc(bench->settings.rounds, sizeof *bench->ns[i]);
        if (bench->ns[i] == NULL)
            return -ENOMEM;
    }
    /* Servers inherit it. Without the right to raise it the connections tell. */
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    return process_pin(cpus[1]);
}

int main(int argc, char **argv)
{
    struct bench bench = {
        .settings = {.rounds = 5, .requests = 300000, .connections = 100, .size = 1024}};
    read_flags(argc, argv, &bench.settings);
    int status = prepare(&bench);
    if (status == 0)
        status = run_rounds(&bench);
    if (status == 0)
        print_results(&bench);
    printf("%s_requests_lost %" PRIu64 " requests\n", bench.prefix, bench.lost);
    for (size_t i = 0; i < VARIANT_COUNT; i++)
        free(bench.ns[i]);
    free(bench.frame);
    return status == 0 && bench.lost == 0 ? 0 : 1;
}
