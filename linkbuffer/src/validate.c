/* Checks of one side's invariants, in builds with assertions. The other side may be at work. */
#include "validate.h"

#include "file.h"

#ifndef NDEBUG

#    include <assert.h>

/* Longer chains are checked as far as this: a debug build has to stay usable. */
#    define LB_VALIDATE_MAX 64

static const uint8_t *block_end(const struct linkbuffer_block *block)
{
    return (const uint8_t *)(block + 1) + block->capacity;
}

static void validate_window(const struct lb_node *node)
{
    const struct linkbuffer_block *block = node->block;
    assert(block != NULL);
    /* Relaxed: this window's own count is enough, whatever the others do. */
    assert(atomic_load_explicit(&block->count, memory_order_relaxed) >= 1);
    if (block->kind >= LB_BLOCK_USER) {
        assert(node->len <= block->capacity);
    } else {
        assert(node->data >= (const uint8_t *)(block + 1));
        assert(node->data + node->len <= block_end(block));
    }
}

/* The next window, in the chain or in what follows it. */
static const struct lb_node *next_of(const struct lb_node *node, const struct lb_node **rest)
{
    if (node != NULL && node->next != NULL)
        return node->next;
    const struct lb_node *next = *rest;
    *rest = NULL;
    return next;
}

/* The windows are within their blocks, and their bytes add up; gives whether all were seen. `rest`
 * follows the chain. */
static bool validate_chain(const struct lb_node *first, const struct lb_node *rest,
                           const struct lb_node *last, size_t len)
{
    size_t sum = 0;
    const struct lb_node *node = first != NULL ? first : next_of(NULL, &rest);
    assert((node == NULL) == (last == NULL));
    for (int i = 0; node != NULL; i++, node = next_of(node, &rest)) {
        if (i == LB_VALIDATE_MAX) {
            assert(sum < len);
            return false;
        }
        validate_window(node);
        sum += node->len;
        assert((node->next == NULL && rest == NULL) == (node == last));
    }
    assert(sum == len);
    return true;
}

static bool is_in(const struct lb_node *first, const struct lb_node *wanted)
{
    while (first != NULL && first != wanted)
        first = first->next;
    return first != NULL;
}

void lb_validate_reader(const struct linkbuffer *lb)
{
    const struct lb_reader *reader = &lb->reader;
    const struct lb_node *file = reader->has_file ? reader->file : NULL;
    bool all = validate_chain(reader->first, file, reader->last, reader->len);
    assert(!reader->has_file || (file != NULL && lb_node_is_file(file)));
    if (all && file == NULL && reader->settled != NULL)
        assert(is_in(reader->first, reader->settled));
    assert(!reader->exposed || reader->first != NULL);
    const struct lb_node *node = reader->first;
    for (int i = 0; node != NULL && i < LB_VALIDATE_MAX; i++, node = node->next)
        assert(node->len > 0 && !lb_node_is_file(node));
    node = reader->done;
    for (int i = 0; node != NULL && i < LB_VALIDATE_MAX; i++, node = node->next)
        validate_window(node);

    /* Pairs with the release in hand_over(), which comes before the chain is shown. */
    size_t flushed = atomic_load_explicit(&lb->flushed, memory_order_acquire);
    size_t consumed = atomic_load_explicit(&lb->consumed, memory_order_relaxed);
    assert(flushed - consumed >= reader->len && flushed - consumed <= SIZE_MAX / 2);
}

void lb_validate_writer(const struct linkbuffer *lb)
{
    const struct lb_writer *writer = &lb->writer;
    const struct lb_node *last = writer->last;
    const struct lb_node *node = writer->first;
    validate_chain(node, NULL, last, writer->len);
    assert(!writer->is_held || node != NULL);
    for (int i = 0; node != NULL && i < LB_VALIDATE_MAX; i++, node = node->next)
        assert(node->len > 0 || (writer->is_held && node == writer->first && node == last));
    if (writer->room > 0) {
        assert(last != NULL && last->block->kind < LB_BLOCK_USER);
        assert(writer->room <= (size_t)(block_end(last->block) - (last->data + last->len)));
    }

    /* Pairs with the release in lb_reader_count_consumed(): what was consumed had been flushed. */
    size_t consumed = atomic_load_explicit(&lb->consumed, memory_order_acquire);
    size_t flushed = atomic_load_explicit(&lb->flushed, memory_order_relaxed);
    assert(flushed - consumed <= SIZE_MAX / 2);
    /* Only this side fills these; relaxed, they are not followed: the reader may take them. */
    if (atomic_load_explicit(&lb->slot, memory_order_relaxed) != NULL ||
        atomic_load_explicit(&lb->mailbox, memory_order_relaxed) != NULL)
        assert(flushed > 0);
}

#endif
