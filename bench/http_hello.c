/* Loads one server of HTTP; bench_http compares. */
#include "flags.h"
#include "http_load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATUS_FAILED 1
#define STATUS_USAGE  2

int main(int argc, char **argv)
{
    struct http_load_options options = {.connections = 64, .pipelined = 1};
    uint32_t requests = 300000;
    const struct flag flags[] = {
        {.name = "--connect",
         .value = "ADDR",
         .help = "1.2.3.4:PORT (required)",
         .parse = flag_text,
         .into = &options.address},
        {.name = "--connections",
         .value = "N",
         .help = "(64)",
         .parse = flag_number,
         .into = &options.connections,
         .min = 1,
         .max = 65536},
        {.name = "--pipelined",
         .value = "N",
         .help = "requests at a time on a connection (1)",
         .parse = flag_number,
         .into = &options.pipelined,
         .min = 1,
         .max = 256},
        {.name = "--requests",
         .value = "N",
         .help = "(300000)",
         .parse = flag_number,
         .into = &requests,
         .min = 1,
         .max = UINT32_MAX},
    };
    const struct flag_set set = {.program = "http_hello",
                                 .summary = "Asks a server for \"/\" in a closed loop.",
                                 .flags = flags,
                                 .count = sizeof flags / sizeof flags[0]};
    flags_parse(&set, argc, argv);
    if (options.address == NULL) {
        fprintf(stderr, "http_hello: --connect is required; --help lists all flags\n");
        return STATUS_USAGE;
    }
    struct http_load_result result;
    struct http_load *load;
    int status = http_load_open(&options, &load);
    if (status == 0)
        status = http_load_run(load, requests, &result);
    if (status == 0)
        printf("requests_per_second=%.0f p50_us=%.1f p99_us=%.1f\n",
               (double)result.done / result.seconds, result.p50_us, result.p99_us);
    else
        fprintf(stderr, "http_hello: %s: %s\n", options.address, strerror(-status));
    http_load_close(load);
    return status == 0 ? 0 : STATUS_FAILED;
}
