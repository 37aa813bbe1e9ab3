/** A histogram of durations: a fixed amount of memory, quantiles within 1.6 %. */
#ifndef EXAMPLES_LATENCY_H
#define EXAMPLES_LATENCY_H

#include <stdint.h>

/** Each power of two is divided into so many steps. */
#define LATENCY_STEPS 64

/** Zeroed is empty. */
struct latency {
    uint64_t count;
    uint64_t steps[(64 - 5) * LATENCY_STEPS];
};

/** Counts one duration, in nanoseconds. Thread: one at a time per histogram. */
void latency_add(struct latency *latency, uint64_t ns);

/**
 * A quantile.
 *
 * @param quantile  0 < quantile <= 1: 0.5 is the median
 * @return nanoseconds that this share of the durations did not exceed, rounded up by at most
 *         1.6 %; 0 when there are none
 */
uint64_t latency_quantile(const struct latency *latency, double quantile);

#endif
