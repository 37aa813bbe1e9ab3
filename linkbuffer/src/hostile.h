/*
 * The hostile build (CMake: NETPOLL_HOSTILE): everything the contracts allow and nobody expects.
 * Blocks hold no more than was asked for, a write lies in many of them, every read shows a fresh
 * copy, and the payload of a freed block is overwritten. Whoever relies on more than the headers
 * promise fails there.
 */
#ifndef LB_HOSTILE_H
#define LB_HOSTILE_H

#include <stddef.h>

struct linkbuffer;

#ifdef LB_HOSTILE
#    define LB_IS_HOSTILE 1
#else
#    define LB_IS_HOSTILE 0
#endif

enum {
    LB_HOSTILE_PIECE = 16, /* most bytes of a block that nobody asked to be larger */
    LB_HOSTILE_FILL = 0xDB /* what freed payload is overwritten with */
};

/* linkbuffer_write() in blocks of LB_HOSTILE_PIECE bytes. */
int lb_hostile_write(struct linkbuffer *lb, const void *data, size_t n);
/* linkbuffer_peek() into a block of its own; n > 0. */
int lb_hostile_peek(struct linkbuffer *lb, size_t n, const void **out);

#endif
