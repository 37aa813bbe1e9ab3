/* One measurement of an echo. */
#include "echo_case.h"

#include "frame.h"
#include "load.h"
#include "process.h"
#include "sleep_mark.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define FLOOR_PROGRAM "floor"
#define WARM_UP_SHARE 10 /* one in so many requests comes before the measurement */

int echo_complain(const struct echo_variant *variant, const char *what, int error)
{
    fprintf(stderr, "bench_echo: %s: %s: %s\n", variant->name, what, strerror(-error));
    return error;
}

static int start_server(const struct echo_case *run, struct process *out)
{
    const struct echo_variant *variant = run->variant;
    const struct process_cpus cpus = {.ids = run->cpus, .count = run->place->cpus};
    if (variant->backend == NULL)
        return process_start(FLOOR_PROGRAM, (const char *const[]){NULL}, &cpus, out);
    const char *const args[] = {"--backend",      variant->backend, "--handler",
                                variant->handler, "--pollers",      "1",
                                "--workers",      run->workers,     NULL};
    return process_start(run->server, args, &cpus, out);
}

static int run_load(struct load *load, uint32_t requests, struct load_result *out, uint64_t *lost)
{
    int status = load_run(load, (struct load_limit){.requests = requests}, out);
    *lost += out->sent - out->done;
    return status;
}

static void report(const struct echo_figures *figures, const struct load_result *result)
{
    fprintf(stderr, "%7.0f ns/request %8.0f/s  p50 %6.0f us  p99 %6.0f us  %.3f switches/request",
            figures->cpu_ns, (double)result->done / result->seconds, figures->p50_us,
            figures->p99_us, figures->switches);
    if (result->marked.count > 0)
        fprintf(stderr, "  sleepers p50 %6.0f us  p99 %6.0f us",
                (double)latency_quantile(&result->marked, 0.50) / 1e3,
                (double)latency_quantile(&result->marked, 0.99) / 1e3);
    fprintf(stderr, "\n");
}

static int run_measured(const struct echo_case *run, struct load *load,
                        const struct process *server, struct echo_figures *out, uint64_t *lost)
{
    static struct load_result result;
    struct process_usage before;
    struct process_usage after;
    uint32_t requests = run->load->requests;
    int status = run_load(load, requests / WARM_UP_SHARE, &result, lost);
    if (status == 0)
        status = process_usage_read(server, &before);
    if (status == 0)
        status = run_load(load, requests, &result, lost);
    if (status == 0)
        status = process_usage_read(server, &after);
    if (status != 0)
        return status;
    *out = (struct echo_figures){
        .cpu_ns = (double)(after.cpu_ns - before.cpu_ns) / (double)result.done,
        .switches = (double)(after.switches - before.switches) / (double)result.done,
        .p50_us = (double)latency_quantile(&result.latency, 0.50) / 1e3,
        .p99_us = (double)latency_quantile(&result.latency, 0.99) / 1e3,
    };
    report(out, &result);
    return 0;
}

static int load_server(const struct echo_case *run, const struct process *server,
                       struct echo_figures *out, uint64_t *lost)
{
    const struct echo_load *what = run->load;
    const struct load_options options = {.address = server->address,
                                         .connections = what->connections,
                                         .message = what->frame,
                                         .size = FRAME_HEAD_BYTES + what->size,
                                         .stamp_offset = FRAME_HEAD_BYTES,
                                         .mark_offset = FRAME_HEAD_BYTES + SLEEP_MARK_OFFSET,
                                         .marked_permille = what->sleepers};
    struct load *load;
    int status = load_open(&options, &load);
    if (status == 0)
        status = run_measured(run, load, server, out, lost);
    load_close(load);
    return status;
}

int echo_measure(const struct echo_case *run, struct echo_figures *out, uint64_t *lost)
{
    struct process server;
    int status = start_server(run, &server);
    if (status == -ENOTSUP)
        return status;
    if (status != 0)
        return echo_complain(run->variant, "cannot start the server", status);
    fprintf(stderr, "  %-10s %-16s", run->place->name, run->variant->name);
    status = load_server(run, &server, out, lost);
    if (status != 0)
        echo_complain(run->variant, "the load failed", status);
    int stopped = process_stop(&server);
    if (stopped != 0)
        echo_complain(run->variant, "the server did not end well", stopped);
    return status != 0 ? status : stopped;
}
