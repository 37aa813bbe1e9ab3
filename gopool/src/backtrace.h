/* Where a thread is: the return addresses on its stack, and what they are called. */
#ifndef GP_BACKTRACE_H
#define GP_BACKTRACE_H

#include <stddef.h>
#include <stdint.h>

#include "text.h"

/*
 * Takes the return addresses of the calling thread, the innermost first, its caller's included.
 * Returns how many: at most max; 0 where the C library cannot do it in a signal handler.
 *
 * Async-signal-safe once it has been called outside of one. Allocates nothing.
 */
uint32_t gp_backtrace_take(void **frames, uint32_t max);

/*
 * As gp_backtrace_take(), without the frames inside of the one at `first`: a return address, or
 * for a signal handler where it interrupted the thread. At least that one, should it not be met.
 */
uint32_t gp_backtrace_take_from(const void *first, void **frames, uint32_t max);

/* Appends a line for each address. Takes the dynamic linker's lock. */
void gp_backtrace_write(struct gp_text *text, void *const *frames, uint32_t count);

/* The innermost return address that is not the C library's, which has only done what it was called
 * for; NULL: there is none at all. Takes the dynamic linker's lock. */
const void *gp_backtrace_blame(void *const *frames, uint32_t count);

/* Writes the function and the object with the offset of the call behind a return address; as
 * snprintf(3). Takes the dynamic linker's lock. */
int gp_backtrace_print_frame(char *out, size_t size, const void *frame);

/* Appends the name of the function that an address lies in, or the object and the offset. */
void gp_backtrace_write_function(struct gp_text *text, const void *address);

#endif
