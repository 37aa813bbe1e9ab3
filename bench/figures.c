/* Order statistics. */
#include "figures.h"

#include <stdlib.h>

static int compare(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;
    return (a > b) - (a < b);
}

static double at(const double *sorted, size_t count, double share)
{
    double position = share * (double)(count - 1);
    size_t below = (size_t)position;
    if (below + 1 == count)
        return sorted[below];
    return sorted[below] + (position - (double)below) * (sorted[below + 1] - sorted[below]);
}

struct quartiles figures_quartiles(double *values, size_t count)
{
    qsort(values, count, sizeof *values, compare);
    return (struct quartiles){.first = at(values, count, 0.25),
                              .median = at(values, count, 0.5),
                              .third = at(values, count, 0.75)};
}

double figures_quantile(double *values, size_t count, double share)
{
    qsort(values, count, sizeof *values, compare);
    return at(values, count, share);
}
