/**
 * A load of HTTP: the same request again and again on many connections, so many at a time on each.
 *
 * Threads: one. Errors: 0 or a negative errno value; -EPROTO for an answer that is not what is
 * expected.
 */
#ifndef BENCH_HTTP_LOAD_H
#define BENCH_HTTP_LOAD_H

#include <stdint.h>

struct http_load;

/** What is sent to whom. */
struct http_load_options {
    const char *address; /**< "1.2.3.4:PORT" */
    uint32_t connections;
    uint32_t pipelined; /**< requests that are sent together, at least 1 */
};

/** What came of it. */
struct http_load_result {
    uint64_t done; /**< requests that were answered */
    double seconds;
    double p50_us,
        p99_us; /**< from the first byte of a batch of pipelined ones to its last answer */
};

/**
 * Connects, and learns what an answer looks like: status 200 and a body of "Hello, World!"; all of
 * them must be as long as the first.
 *
 * Memory: ended with http_load_close(), NULL does nothing.
 */
int http_load_open(const struct http_load_options *options, struct http_load **out);

/** Sends so many requests, or some more, and waits for their answers. */
int http_load_run(struct http_load *load, uint64_t requests, struct http_load_result *out);

void http_load_close(struct http_load *load);

#endif
