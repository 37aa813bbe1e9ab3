/* The notes that every object file of the toolkit carries about its code: cmake/code_note.h. */
#ifndef GP_FAULT_NOTES_H
#define GP_FAULT_NOTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gp_code_range {
    uintptr_t start;
    uintptr_t end;
};

/* Sorted. All zero is none. */
struct gp_code_ranges {
    struct gp_code_range *of;
    size_t count;
    size_t capacity;
};

struct gp_code_notes {
    struct gp_code_ranges code;
    struct gp_code_ranges dispatch; /* of it, functions marked NETPOLL_DISPATCH */
};

/*
 * Reads the notes of everything that is loaded. Returns 0 or -ENOMEM; then there are none.
 *
 * @param out              empty; gp_code_notes_clear() frees its memory
 * @param is_instrumented  set when valgrind(1) has put a library of its own into the process
 */
int gp_code_read_notes(struct gp_code_notes *out, bool *is_instrumented);

void gp_code_notes_clear(struct gp_code_notes *notes);

/* Whether two of them overlap, as those of sources that were compiled as one do. */
bool gp_code_ranges_overlap(const struct gp_code_ranges *ranges);

/* Async-signal-safe. */
bool gp_code_ranges_hold(const struct gp_code_ranges *ranges, uintptr_t address);

#endif
