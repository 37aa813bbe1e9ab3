/* Birth and end of a buffer, and what may be asked of it from either side. */
#include "linkbuffer.h"

#include "file.h"
#include "validate.h"

#include <mcache/mcache.h>

#include <errno.h>
#include <string.h>

int linkbuffer_create(struct linkbuffer **out)
{
    struct linkbuffer *lb = mcache_alloc(sizeof *lb);
    *out = lb;
    if (lb == NULL)
        return -ENOMEM;
    memset(lb, 0, sizeof *lb);
    atomic_init(&lb->slot, NULL);
    atomic_init(&lb->mailbox, NULL);
    atomic_init(&lb->flushed, 0);
    atomic_init(&lb->consumed, 0);
    atomic_init(&lb->demand, 0);
    return 0;
}

void linkbuffer_destroy(struct linkbuffer *lb)
{
    if (lb == NULL)
        return;
#ifndef NDEBUG
    lb_validate_reader(lb);
    lb_validate_writer(lb);
#endif
    lb_reader_pull(lb);
    lb_node_destroy_all(lb->reader.done);
    lb_node_destroy_all(lb->reader.first);
    if (lb->reader.has_file)
        lb_node_destroy_all(lb->reader.file);
    lb_node_destroy_all(lb->writer.first);
    mcache_free(lb);
}

size_t linkbuffer_unread(const struct linkbuffer *lb)
{
    size_t before;
    size_t flushed;
    /* Pairs with the reader's release: it has seen a flush before it consumes from it. */
    size_t consumed = atomic_load_explicit(&lb->consumed, memory_order_acquire);
    do {
        before = consumed;
        /* Pairs with the release in hand_over(): what the writer knew was consumed, too. */
        flushed = atomic_load_explicit(&lb->flushed, memory_order_acquire);
        consumed = atomic_load_explicit(&lb->consumed, memory_order_acquire);
    } while (consumed != before); /* else the difference may never have been true */
    return flushed - consumed;
}

static void count_nodes(const struct lb_node *node, struct linkbuffer_stats *out)
{
    for (; node != NULL; node = node->next) {
        out->blocks++;
        out->bytes_held += lb_node_is_file(node) ? 0 : node->block->capacity;
    }
}

void linkbuffer_stats_read(struct linkbuffer *lb, struct linkbuffer_stats *out)
{
    LB_READER_CALL(lb);
    lb_reader_pull(lb);
    *out = (struct linkbuffer_stats){.bytes_copied = lb->reader.bytes_copied};
    count_nodes(lb->reader.first, out);
    if (lb->reader.has_file)
        count_nodes(lb->reader.file, out);
    count_nodes(lb->reader.done, out);
}
