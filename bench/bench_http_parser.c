/* What parsing the head of a request costs alone: wrk's, and one as a browser sends it. */
#include "figures.h"
#include "flags.h"
#include "process.h"

#include <nhttp/head.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUNDS_MAX 1000
#define PARSES     200000
#define FIELDS     100

static const struct {
    const char *name;
    const char *request;
} cases[] = {
    {"wrk", "GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n"},
    {"browser",
     "GET /index.html?session=1f3a&lang=en HTTP/1.1\r\n"
     "Host: www.example.com\r\n"
     "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
     "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
     "Accept-Language: en-US,en;q=0.5\r\n"
     "Accept-Encoding: gzip, deflate, br\r\n"
     "Connection: keep-alive\r\n"
     "Cookie: id=a3fWa; theme=dark\r\n"
     "Upgrade-Insecure-Requests: 1\r\n"
     "\r\n"},
};

#define CASE_COUNT (sizeof cases / sizeof cases[0])

static double cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* Nanoseconds of one; ends the program when it is not parsed. */
static double measure(const char *request)
{
    static const struct nhttp_head_limits limits = {
        .line_bytes = 8192, .head_bytes = 32768, .fields = FIELDS};
    struct nhttp_field table[FIELDS];
    struct nhttp_head_parser parser;
    size_t n = strlen(request);
    double since = cpu_ns();
    for (unsigned i = 0; i < PARSES; i++) {
        if (nhttp_head_begin(&parser, NHTTP_HEAD_REQUEST, &limits, table) != 0 ||
            nhttp_head_parse(&parser, request, n) != (ssize_t)n) {
            fprintf(stderr, "bench_http_parser: a request is refused\n");
            exit(1);
        }
    }
    return (cpu_ns() - since) / PARSES;
}

int main(int argc, char **argv)
{
    static double ns[CASE_COUNT][ROUNDS_MAX];
    uint32_t rounds = 9;
    const struct flag flags[] = {{.name = "--rounds",
                                  .value = "N",
                                  .help = "(9)",
                                  .parse = flag_number,
                                  .into = &rounds,
                                  .min = 1,
                                  .max = ROUNDS_MAX}};
    const struct flag_set set = {.program = "bench_http_parser",
                                 .summary = "CPU time of parsing the head of a request.",
                                 .flags = flags,
                                 .count = 1};
    unsigned cpus[2];
    flags_parse(&set, argc, argv);
    if (process_pick_cpus(cpus) == 0)
        (void)process_pin(cpus[0]);
    for (uint32_t round = 0; round < rounds; round++) {
        for (size_t i = 0; i < CASE_COUNT; i++)
            ns[i][round] = measure(cases[i].request);
    }
    for (size_t i = 0; i < CASE_COUNT; i++) {
        struct quartiles value = figures_quartiles(ns[i], rounds);
        printf("http_parse_%s %.1f ns\n", cases[i].name, value.median);
        printf("http_parse_%s_q1 %.1f ns\n", cases[i].name, value.first);
        printf("http_parse_%s_q3 %.1f ns\n", cases[i].name, value.third);
    }
    return 0;
}
