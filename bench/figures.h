/** Figures of several rounds. */
#ifndef BENCH_FIGURES_H
#define BENCH_FIGURES_H

#include <stddef.h>

/** Where the middle half of the values lies. */
struct quartiles {
    double first, median, third;
};

/** Sorts the values, at least one, and takes their quartiles, interpolated between neighbours. */
struct quartiles figures_quartiles(double *values, size_t count);

/** Sorts the values, at least one, and takes the one below which this share of them lies. */
double figures_quantile(double *values, size_t count, double share);

#endif
