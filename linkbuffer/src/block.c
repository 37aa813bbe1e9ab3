/* Counted memory and the windows on it: who allocates, who frees, who may extend. Any thread. */
#include "block.h"

#include "hostile.h"

#include <mcache/mcache.h>

#include <errno.h>
#include <string.h>

struct linkbuffer_block *linkbuffer_block_create(size_t capacity)
{
    return lb_block_create(capacity);
}

struct lb_node *lb_block_user_node(const void *data, size_t n, linkbuffer_release_fn *release,
                                   void *arg)
{
    struct lb_user_block *user = mcache_alloc(sizeof *user);
    if (user == NULL)
        return NULL;
    struct linkbuffer_block *block = &user->block;
    atomic_init(&block->count, 1);
    block->kind = LB_BLOCK_USER;
    block->capacity = n;
    user->release = release;
    user->arg = arg;
    /* Nothing writes through a window of a user block. */
    return lb_block_first_node(block, (uint8_t *)(uintptr_t)data, n);
}

struct lb_node *lb_block_file_node(const struct linkbuffer_file *range)
{
    struct lb_file_block *file = mcache_alloc(sizeof *file);
    if (file == NULL)
        return NULL;
    struct linkbuffer_block *block = &file->user.block;
    atomic_init(&block->count, 1);
    block->kind = LB_BLOCK_FILE;
    block->capacity = range->n;
    file->user.release = range->release;
    file->user.arg = range->arg;
    file->fd = range->fd;
    file->offset = range->offset;
    return lb_block_first_node(block, lb_block_data(block), range->n);
}

static void block_free(struct linkbuffer_block *block)
{
    if (block->kind >= LB_BLOCK_USER) {
        struct lb_user_block *user = (struct lb_user_block *)block;
        if (user->release != NULL)
            user->release(user->arg);
    } else if (LB_IS_HOSTILE) {
        memset(lb_block_data(block), LB_HOSTILE_FILL, block->capacity);
    }
    mcache_free(block);
}

/* Whether nobody else holds a count. */
static inline bool is_alone(const struct linkbuffer_block *block)
{
    /* Pairs with the release of the decrement in drop(). */
    return atomic_load_explicit(&block->count, memory_order_acquire) == 1;
}

void linkbuffer_block_retain(struct linkbuffer_block *block)
{
    /* Whoever adds a count holds one, so nothing has to be ordered. */
    atomic_fetch_add_explicit(&block->count, 1, memory_order_relaxed);
}

/* The caller's window is no other thread's: if it holds the only count, nobody else changes it. */
static inline void retain_own(struct linkbuffer_block *block)
{
    if (is_alone(block))
        atomic_store_explicit(&block->count, 2, memory_order_relaxed);
    else
        linkbuffer_block_retain(block);
}

static inline void drop(struct linkbuffer_block *block)
{
    /* The holder of the only count needs no read-modify-write: nobody can add one meanwhile. */
    if (!is_alone(block)) {
        /* Release: what this thread read happened before the free; acquire: on the last one. */
        if (atomic_fetch_sub_explicit(&block->count, 1, memory_order_acq_rel) != 1)
            return;
    }
    block_free(block);
}

void linkbuffer_block_release(struct linkbuffer_block *block)
{
    if (block != NULL)
        drop(block);
}

void *linkbuffer_block_data(struct linkbuffer_block *block)
{
    return lb_block_data(block);
}

size_t linkbuffer_block_capacity(const struct linkbuffer_block *block)
{
    return block->capacity;
}

bool linkbuffer_block_is_shared(const struct linkbuffer_block *block)
{
    return !is_alone(block);
}

static inline struct lb_node *node_alloc(struct linkbuffer_block *block, uint8_t *data, size_t n)
{
    struct lb_node *node = mcache_alloc(sizeof *node);
    if (node == NULL)
        return NULL;
    node->next = NULL;
    node->block = block;
    node->data = data;
    node->len = n;
    return node;
}

struct lb_node *lb_node_create(struct linkbuffer_block *block, uint8_t *data, size_t n)
{
    struct lb_node *node = node_alloc(block, data, n);
    if (node != NULL)
        linkbuffer_block_retain(block);
    return node;
}

struct lb_node *lb_node_share(const struct lb_node *window, size_t n)
{
    struct lb_node *node = node_alloc(window->block, window->data, n);
    if (node != NULL)
        retain_own(window->block);
    return node;
}

static inline void destroy(struct lb_node *node)
{
    struct linkbuffer_block *block = node->block;
    if (node != &block->node)
        mcache_free(node);
    drop(block);
}

void lb_node_destroy(struct lb_node *node)
{
    destroy(node);
}

void lb_node_destroy_all(struct lb_node *first)
{
    while (first != NULL) {
        struct lb_node *next = first->next;
        destroy(first);
        first = next;
    }
}

size_t lb_node_rest(const struct lb_node *node)
{
    struct linkbuffer_block *block = node->block;
    return (size_t)(lb_block_data(block) + block->capacity - (node->data + node->len));
}

size_t lb_node_room(const struct lb_node *node)
{
    struct linkbuffer_block *block = node->block;
    if (block->kind >= LB_BLOCK_USER || !is_alone(block))
        return 0;
    return lb_node_rest(node);
}
