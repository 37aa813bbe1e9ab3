/*
 * Finding the first byte that may not stand where it is: by vectors of what the processor has,
 * chosen when the first scan is made. Any thread.
 */
#ifndef NH_SCAN_H
#define NH_SCAN_H

#include <stddef.h>
#include <stdint.h>

/* Index of the first byte of its kind from `from` on; n: there is none. */
typedef size_t nh_scan_fn(const uint8_t *data, size_t from, size_t n);

struct nh_scanner {
    const char *name;
    nh_scan_fn *value;  /* the first control byte but HTAB */
    nh_scan_fn *target; /* the first byte that is not visible US-ASCII: SP and 0x80 up, too */
};

/* The best one of this processor. */
const struct nh_scanner *nh_scanner(void);

/* All that this processor can run, the portable one first; ends with NULL. For tests. */
const struct nh_scanner *const *nh_scanners(void);

#endif
