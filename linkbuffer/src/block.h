/*
 * A counted piece of memory, with the first window on it in the same allocation.
 */
#ifndef LB_BLOCK_H
#define LB_BLOCK_H

#include "hostile.h"
#include "node.h"

#include <linkbuffer/block.h>
#include <linkbuffer/file.h>
#include <mcache/mcache.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* A smaller block is not worth copying out of. */
#define LB_BLOCK_COPY_MIN ((size_t)512 - LINKBUFFER_BLOCK_OVERHEAD)

enum lb_block_kind {
    LB_BLOCK_OWN,  /* payload behind the header */
    LB_BLOCK_COPY, /* the same, filled by the reader with what it had to copy */
    /* From here on nothing may be written behind a window, and nothing is held. */
    LB_BLOCK_USER, /* the caller's memory; struct lb_user_block */
    LB_BLOCK_FILE, /* no memory: bytes of a file; struct lb_file_block */
};

struct linkbuffer_block {
    /* Dropped with release, read with acquire by whoever wants to be alone with the memory. */
    _Atomic uint32_t count;
    uint32_t kind;
    size_t capacity;
    struct lb_node node; /* the first window; lives as long as the block */
};

struct lb_user_block {
    struct linkbuffer_block block;
    linkbuffer_release_fn *release;
    void *arg;
};

/* Of a range of `capacity` bytes. See file.h for what its windows point to. */
struct lb_file_block {
    struct lb_user_block user; /* first: both end alike */
    int fd;
    off_t offset;
};

_Static_assert(sizeof(struct linkbuffer_block) == LINKBUFFER_BLOCK_OVERHEAD,
               "the payload is aligned and fills its size class");

static inline uint8_t *lb_block_data(struct linkbuffer_block *block)
{
    return (uint8_t *)(block + 1);
}

/* Whether n bytes are so few of the block that copying them into one of their size pays. */
static inline bool lb_block_is_underused(const struct linkbuffer_block *block, size_t n)
{
    return block->kind < LB_BLOCK_USER && block->capacity >= LB_BLOCK_COPY_MIN &&
           block->capacity / 4 > n;
}

/* The class that a request falls into, asked for as a whole: mcache hands out exactly that. */
static inline size_t lb_round_up(size_t bytes)
{
    if (LB_IS_HOSTILE || bytes > MCACHE_CLASS_MAX)
        return bytes;
    return (size_t)1 << (64 - __builtin_clzll(bytes - 1));
}

/* A block for so many bytes or more, with one count and no window; NULL with errno: no memory. */
static inline struct linkbuffer_block *lb_block_create(size_t capacity)
{
    if (capacity > SIZE_MAX - sizeof(struct linkbuffer_block)) {
        errno = ENOMEM;
        return NULL;
    }
    size_t bytes = lb_round_up(sizeof(struct linkbuffer_block) + capacity);
    struct linkbuffer_block *block = mcache_alloc(bytes);
    if (block != NULL) {
        atomic_init(&block->count, 1);
        block->kind = LB_BLOCK_OWN;
        block->capacity = bytes - sizeof *block;
    }
    return block;
}

/* The window that is part of the block, which shows in no other yet. */
static inline struct lb_node *lb_block_first_node(struct linkbuffer_block *block, uint8_t *data,
                                                  size_t n)
{
    struct lb_node *node = &block->node;
    node->next = NULL;
    node->block = block;
    node->data = data;
    node->len = n;
    return node;
}

/* A block for n bytes or more, and an empty window at its start; NULL: no memory. */
static inline struct lb_node *lb_block_node(size_t n)
{
    struct linkbuffer_block *block = lb_block_create(n);
    return block == NULL ? NULL : lb_block_first_node(block, lb_block_data(block), 0);
}

/* A window on the caller's memory; NULL: no memory, nothing taken. */
struct lb_node *lb_block_user_node(const void *data, size_t n, linkbuffer_release_fn *release,
                                   void *arg);
/* A window on a range of a file; NULL: no memory, nothing taken. */
struct lb_node *lb_block_file_node(const struct linkbuffer_file *range);
/* A window on a block that any thread may hold counts of; adds one. NULL: no memory. */
struct lb_node *lb_node_create(struct linkbuffer_block *block, uint8_t *data, size_t n);
/* A further window from where this one starts, which is the calling side's. NULL: no memory. */
struct lb_node *lb_node_share(const struct lb_node *window, size_t n);
/* Frees one window and its count. */
void lb_node_destroy(struct lb_node *node);
/* Frees a list linked by next. */
void lb_node_destroy_all(struct lb_node *first);

/* Bytes of the window's block behind its end. */
size_t lb_node_rest(const struct lb_node *node);
/* The same, when the block shows in no other window; otherwise 0. */
size_t lb_node_room(const struct lb_node *node);

#endif
