/* Unread bytes that stay: moved out of blocks they use little of. Reader side. */
#include "linkbuffer.h"
#include "validate.h"

/* A block that an unmet demand may go on in was asked for as large as what had come, or this. */
#define LB_DEMAND_BLOCK_MIN ((size_t)4096 - LINKBUFFER_BLOCK_OVERHEAD)

/* Payload of the largest one, when so many bytes have come. */
static size_t demand_block_max(size_t came)
{
    size_t n = came > LB_DEMAND_BLOCK_MIN ? came : LB_DEMAND_BLOCK_MIN;
    return lb_round_up(LINKBUFFER_BLOCK_OVERHEAD + n) - LINKBUFFER_BLOCK_OVERHEAD;
}

static bool is_wasteful(const struct lb_node *node, size_t copy_limit)
{
    return lb_block_is_underused(node->block, node->len) &&
           (node->len <= copy_limit || !linkbuffer_block_is_shared(node->block));
}

/* Whether the writer holds the place behind this window for what an unmet demand waits for. */
static bool is_awaited(const struct linkbuffer *lb, const struct lb_node *node)
{
    size_t came = lb->reader.len;
    /* Relaxed: this side stored both. */
    size_t demand = atomic_load_explicit(&lb->demand, memory_order_relaxed);
    size_t end = atomic_load_explicit(&lb->consumed, memory_order_relaxed) + came;
    if (node != lb->reader.last || demand == end || demand - end > SIZE_MAX / 2)
        return false;
    return node->block->capacity <= demand_block_max(came) &&
           linkbuffer_block_is_shared(node->block);
}

/* Settles the window behind `previous`, NULL: the first one; gives the one to go on from. */
static struct lb_node *settle_next(struct linkbuffer *lb, struct lb_node *previous,
                                   size_t copy_limit)
{
    struct lb_reader *reader = &lb->reader;
    struct lb_node **link = previous == NULL ? &reader->first : &previous->next;
    struct lb_node *node = *link;
    if (is_awaited(lb, node))
        return node;
    bool wasteful = is_wasteful(node, copy_limit);
    if (!wasteful && node->len > copy_limit)
        return node;
    if (previous != NULL && lb_node_room(previous) >= node->len) {
        lb_reader_gather(reader, previous, node->len);
        return previous;
    }
    struct lb_node *copy = wasteful ? lb_reader_insert_copy(link, node->len) : NULL;
    if (copy == NULL)
        return node;
    lb_reader_gather(reader, copy, node->len);
    return copy;
}

void linkbuffer_settle(struct linkbuffer *lb, size_t copy_limit)
{
    LB_READER_CALL(lb);
    struct lb_reader *reader = &lb->reader;
    lb_reader_pull(lb);
    if (reader->first != NULL && !reader->has_file) {
        /* The first one again: it has been consumed from, or others have left its block. */
        struct lb_node *previous = settle_next(lb, NULL, copy_limit);
        if (reader->settled != NULL)
            previous = reader->settled;
        while (previous->next != NULL)
            previous = settle_next(lb, previous, copy_limit);
        reader->settled = previous;
    }
    linkbuffer_release(lb);
}
