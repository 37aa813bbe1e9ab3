/*
 * What this kernel can do with a ring: set-up with the flags that the backend lives on, and a
 * functional check of how it receives, which is what kernels learned last of all it uses.
 */
#ifndef NP_URING_PROBE_H
#define NP_URING_PROBE_H

#include <liburing.h>

#include <stddef.h>

/* The ring of a poller, bound to the calling thread: 0 or -errno. */
int np_uring_setup(struct io_uring *ring);
/* 0, or -errno and the reason in words. */
int np_uring_probe(char *reason, size_t size);

#endif
