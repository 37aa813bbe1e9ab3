/* Durations by their leading bits: below LATENCY_STEPS each value has a step of its own, above it
 * the six bits after the highest one choose the step. */
#include "latency.h"

#define STEP_BITS 6

_Static_assert(1 << STEP_BITS == LATENCY_STEPS, "steps are chosen by bits");

static unsigned step_of(uint64_t ns)
{
    if (ns < LATENCY_STEPS)
        return (unsigned)ns;
    unsigned shift = 63U - (unsigned)__builtin_clzll(ns) - STEP_BITS;
    return (shift << STEP_BITS) + (unsigned)(ns >> shift);
}

/* The highest duration that step_of() puts there. */
static uint64_t end_of(unsigned step)
{
    if (step < 2 * LATENCY_STEPS)
        return step;
    unsigned shift = (step >> STEP_BITS) - 1;
    uint64_t leading = step - ((uint64_t)shift << STEP_BITS);
    return ((leading + 1) << shift) - 1;
}

void latency_add(struct latency *latency, uint64_t ns)
{
    latency->count++;
    latency->steps[step_of(ns)]++;
}

uint64_t latency_quantile(const struct latency *latency, double quantile)
{
    double wanted = quantile * (double)latency->count;
    uint64_t seen = 0;
    for (unsigned step = 0; seen < latency->count; step++) {
        seen += latency->steps[step];
        if ((double)seen >= wanted)
            return end_of(step);
    }
    return 0;
}
