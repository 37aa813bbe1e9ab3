/* A strict reader of Prometheus's text format 0.0.4, as far as counters and gauges go. */
#ifndef TEST_NETPOLL_EXPOSITION_H
#define TEST_NETPOLL_EXPOSITION_H

#include <stdbool.h>
#include <stddef.h>

#define EXPOSITION_SAMPLES  1024
#define EXPOSITION_FAMILIES 128
#define EXPOSITION_NAME     64
#define EXPOSITION_LABELS   8
#define EXPOSITION_VALUE    512

struct exposition_label {
    char name[EXPOSITION_NAME];
    char value[EXPOSITION_VALUE]; /* without escapes */
};

struct exposition_sample {
    size_t family;
    size_t label_count;
    struct exposition_label labels[EXPOSITION_LABELS];
    double value;
};

struct exposition_family {
    char name[EXPOSITION_NAME];
    char type[EXPOSITION_NAME]; /* "" before TYPE was seen */
    bool has_help;
    size_t sample_count;
};

struct exposition {
    struct exposition_family families[EXPOSITION_FAMILIES];
    size_t family_count;
    struct exposition_sample samples[EXPOSITION_SAMPLES];
    size_t sample_count;
    char error[256]; /* what is wrong, and where */
};

/* False with the error filled in when any of the n bytes is not as it has to be. */
bool exposition_read(struct exposition *out, const char *text, size_t n);
/* NULL: there is none. label NULL: the first sample of the family. */
const struct exposition_sample *exposition_find(const struct exposition *exposition,
                                                const char *family, const char *label,
                                                const char *value);
/* Of all samples of the family that have the label, or of all when it is NULL. */
double exposition_sum(const struct exposition *exposition, const char *family, const char *label,
                      const char *value);

#endif
