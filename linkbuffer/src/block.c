/* Counted memory and the windows on it: who allocates, who frees, who may extend. Any thread. */
#include "block.h"

#include <mcache/mcache.h>

#include <errno.h>
#include <string.h>

static struct linkbuffer_block *block_alloc(size_t header, size_t capacity)
{
    if (capacity > SIZE_MAX - header) {
        errno = ENOMEM;
        return NULL;
    }
    struct linkbuffer_block *block = mcache_alloc(header + capacity);
    if (block != NULL)
        atomic_init(&block->count, 1);
    return block;
}

static struct lb_node *first_node(struct linkbuffer_block *block, uint8_t *data, size_t n)
{
    struct lb_node *node = &block->node;
    node->next = NULL;
    node->block = block;
    node->data = data;
    node->len = n;
    return node;
}

struct linkbuffer_block *linkbuffer_block_create(size_t capacity)
{
    struct linkbuffer_block *block = block_alloc(sizeof *block, capacity);
    if (block != NULL) {
        block->kind = LB_BLOCK_OWN;
        block->capacity = mcache_capacity(block) - sizeof *block;
    }
    return block;
}

struct lb_node *lb_block_node(size_t n)
{
    struct linkbuffer_block *block = linkbuffer_block_create(n);
    return block == NULL ? NULL : first_node(block, lb_block_data(block), 0);
}

struct lb_node *lb_block_user_node(const void *data, size_t n, linkbuffer_release_fn *release,
                                   void *arg)
{
    struct linkbuffer_block *block = block_alloc(sizeof(struct lb_user_block), 0);
    if (block == NULL)
        return NULL;
    struct lb_user_block *user = (struct lb_user_block *)block;
    block->kind = LB_BLOCK_USER;
    block->capacity = n;
    user->release = release;
    user->arg = arg;
    /* Nothing writes through a window of a user block. */
    return first_node(block, (uint8_t *)(uintptr_t)data, n);
}

void linkbuffer_block_retain(struct linkbuffer_block *block)
{
    /* Whoever adds a count holds one, so nothing has to be ordered. */
    atomic_fetch_add_explicit(&block->count, 1, memory_order_relaxed);
}

static void block_free(struct linkbuffer_block *block)
{
    if (block->kind == LB_BLOCK_USER) {
        struct lb_user_block *user = (struct lb_user_block *)block;
        if (user->release != NULL)
            user->release(user->arg);
    }
    mcache_free(block);
}

void linkbuffer_block_release(struct linkbuffer_block *block)
{
    if (block == NULL)
        return;
    /* The holder of the only count needs no read-modify-write: nobody can add one meanwhile. */
    if (linkbuffer_block_is_shared(block)) {
        /* Release: what this thread read happened before the free; acquire: on the last one. */
        if (atomic_fetch_sub_explicit(&block->count, 1, memory_order_acq_rel) != 1)
            return;
    }
    block_free(block);
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
    /* Pairs with the release of the decrement in linkbuffer_block_release(). */
    return atomic_load_explicit(&block->count, memory_order_acquire) != 1;
}

struct lb_node *lb_node_create(struct linkbuffer_block *block, uint8_t *data, size_t n)
{
    struct lb_node *node = mcache_alloc(sizeof *node);
    if (node == NULL)
        return NULL;
    linkbuffer_block_retain(block);
    node->next = NULL;
    node->block = block;
    node->data = data;
    node->len = n;
    return node;
}

void lb_node_destroy(struct lb_node *node)
{
    struct linkbuffer_block *block = node->block;
    if (node != &block->node)
        mcache_free(node);
    linkbuffer_block_release(block);
}

void lb_node_destroy_all(struct lb_node *first)
{
    while (first != NULL) {
        struct lb_node *next = first->next;
        lb_node_destroy(first);
        first = next;
    }
}

size_t lb_node_room(const struct lb_node *node)
{
    struct linkbuffer_block *block = node->block;
    if (block->kind == LB_BLOCK_USER || linkbuffer_block_is_shared(block))
        return 0;
    return (size_t)(lb_block_data(block) + block->capacity - (node->data + node->len));
}
