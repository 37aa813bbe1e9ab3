/**
 * One measurement of an echo: a server process, a load on it, what came of it.
 *
 * Threads: one. Errors: 0 or a negative errno value.
 */
#ifndef BENCH_ECHO_CASE_H
#define BENCH_ECHO_CASE_H

#include <stddef.h>
#include <stdint.h>

/** A server. */
struct echo_variant {
    const char *name;
    const char *backend; /**< NULL: the floor */
    const char *handler;
};

/** Where it runs; the load runs on the second CPU. */
struct echo_place {
    const char *name;
    size_t cpus; /**< 1: the first CPU; 2: both */
};

/** What it is loaded with. */
struct echo_load {
    uint32_t requests; /**< measured; a tenth of them comes before */
    uint32_t connections;
    uint32_t size;     /**< payload of a frame in bytes */
    uint32_t sleepers; /**< handlers of a thousand that sleep, see sleep_server */
    const char *frame; /**< FRAME_HEAD_BYTES + size; borrowed */
};

/** One measurement. */
struct echo_case {
    const struct echo_variant *variant;
    const struct echo_place *place;
    const struct echo_load *load;
    const unsigned *cpus; /**< the first and the second */
    const char *server;   /**< path relative to the folder of this program's own executable */
    const char *workers;  /**< of the server's pool */
};

/** What came of it. Latencies are of the requests whose handler does not sleep. */
struct echo_figures {
    double cpu_ns;   /**< CPU time of the server per request */
    double switches; /**< context switches of the server per request */
    double p50_us;
    double p99_us;
};

/**
 * Starts the server, loads it, stops it; the figures are on stderr too.
 *
 * @param out   filled in when it went well
 * @param lost  counted up by the requests that had no answer
 * @return 0; -ENOTSUP when the server refused to start, having said why; -errno, said
 */
int echo_measure(const struct echo_case *run, struct echo_figures *out, uint64_t *lost);

/** Says on stderr what failed. Returns the error. */
int echo_complain(const struct echo_variant *variant, const char *what, int error);

#endif
