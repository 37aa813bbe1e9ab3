/* Loads a server that answers frames, in a closed loop, and checks every byte. For a look at one
 * server; bench_echo compares. */
#include "flags.h"
#include "frame.h"
#include "load.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATUS_FAILED 1
#define STATUS_USAGE  2

struct settings {
    const char *address;
    uint32_t connections;
    uint32_t requests;
    uint32_t size;
};

static void read_flags(int argc, char **argv, struct settings *out)
{
    const struct flag flags[] = {
        {.name = "--connect",
         .value = "ADDR",
         .help = "HOST:PORT, [::1]:PORT, unix:PATH or unix:@NAME (required)",
         .parse = flag_text,
         .into = &out->address},
        {.name = "--connections",
         .value = "N",
         .help = "(100)",
         .parse = flag_number,
         .into = &out->connections,
         .min = 1,
         .max = 65536},
        {.name = "--requests",
         .value = "N",
         .help = "(300000)",
         .parse = flag_number,
         .into = &out->requests,
         .min = 1,
         .max = UINT32_MAX},
        {.name = "--size",
         .value = "BYTES",
         .help = "payload of a frame (1024)",
         .parse = flag_number,
         .into = &out->size,
         .max = 16 << 20},
    };
    const struct flag_set set = {.program = "frame_load",
                                 .summary = "Sends frames in a closed loop and checks the answers.",
                                 .flags = flags,
                                 .count = sizeof flags / sizeof flags[0]};
    flags_parse(&set, argc, argv);
    if (out->address == NULL) {
        fprintf(stderr, "frame_load: --connect is required; --help lists all flags\n");
        exit(STATUS_USAGE);
    }
}

static void print(const struct load_result *result)
{
    const struct latency *latency = &result->latency;
    printf("requests_per_second=%.0f p50_us=%.1f p99_us=%.1f p999_us=%.1f lost=%" PRIu64 "\n",
           (double)result->done / result->seconds, (double)latency_quantile(latency, 0.5) / 1e3,
           (double)latency_quantile(latency, 0.99) / 1e3,
           (double)latency_quantile(latency, 0.999) / 1e3, result->sent - result->done);
}

static int run(const struct settings *settings, const char *frame)
{
    const struct load_options options = {.address = settings->address,
                                         .connections = settings->connections,
                                         .message = frame,
                                         .size = FRAME_HEAD_BYTES + settings->size,
                                         .stamp_offset = FRAME_HEAD_BYTES};
    static struct load_result result;
    struct load *load;
    int status = load_open(&options, &load);
    if (status == 0) {
        status = load_run(load, (struct load_limit){.requests = settings->requests}, &result);
        print(&result);
    }
    load_close(load);
    if (status != 0)
        fprintf(stderr, "frame_load: %s: %s\n", settings->address, strerror(-status));
    return status == 0 ? 0 : STATUS_FAILED;
}

int main(int argc, char **argv)
{
    struct settings settings = {.connections = 100, .requests = 300000, .size = 1024};
    read_flags(argc, argv, &settings);
    char *frame = frame_create(settings.size);
    if (frame == NULL) {
        perror("frame_load");
        return STATUS_FAILED;
    }
    int status = run(&settings, frame);
    free(frame);
    return status;
}
