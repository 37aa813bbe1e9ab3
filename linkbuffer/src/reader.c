/* Bytes out: taken from the mailbox, read in place, given back by release. Reader side. */
#include "linkbuffer.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* A block this small is not worth copying out of. */
#define LB_SETTLE_BLOCK_MIN ((size_t)512 - LINKBUFFER_BLOCK_OVERHEAD)

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

void lb_reader_pull(struct linkbuffer *lb)
{
    struct lb_reader *reader = &lb->reader;
    /* Relaxed: only a hint; a flush that this thread has heard of by other means shows here. */
    if (atomic_load_explicit(&lb->mailbox, memory_order_relaxed) == NULL)
        return;
    /* Pairs with the stores in publish(): the newest one comes after those of the older chains. */
    struct lb_node *chain = atomic_exchange_explicit(&lb->mailbox, NULL, memory_order_acquire);
    struct lb_node *newest_last = chain->chain_last;
    struct lb_node *newer = NULL;
    while (chain != NULL) {
        struct lb_node *last = chain->chain_last;
        struct lb_node *older = last->next;
        last->next = newer;
        reader->len += chain->chain_len;
        newer = chain;
        chain = older;
    }
    if (reader->last != NULL)
        reader->last->next = newer;
    else
        reader->first = newer;
    reader->last = newest_last;
}

static void count_consumed(struct linkbuffer *lb, size_t n)
{
    struct lb_reader *reader = &lb->reader;
    reader->len -= n;
    reader->searched -= min_size(reader->searched, n);
    size_t consumed = atomic_load_explicit(&lb->consumed, memory_order_relaxed) + n;
    /* Pairs with the load in linkbuffer_unread(). */
    atomic_store_explicit(&lb->consumed, consumed, memory_order_release);
}

/* A window without bytes left waits for release: pointers into it may be in use. */
static void retire(struct lb_reader *reader, struct lb_node *node)
{
    node->next = reader->done;
    reader->done = node;
}

static void consume(struct linkbuffer *lb, size_t n)
{
    struct lb_reader *reader = &lb->reader;
    count_consumed(lb, n);
    while (n > 0) {
        struct lb_node *node = reader->first;
        assert(node != NULL); /* len is the sum of the windows */
        size_t step = min_size(n, node->len);
        node->data += step;
        node->len -= step;
        n -= step;
        if (node->len > 0)
            return;
        reader->first = node->next;
        if (reader->first == NULL)
            reader->last = NULL;
        if (reader->settled == node)
            reader->settled = NULL;
        reader->exposed = false;
        retire(reader, node);
    }
}

/* Takes the window behind this one out of the chain and gives it to the caller. */
static struct lb_node *unlink_next(struct lb_reader *reader, struct lb_node *node)
{
    struct lb_node *next = node->next;
    node->next = next->next;
    if (reader->last == next)
        reader->last = node;
    if (reader->settled == next)
        reader->settled = node;
    return next;
}

/* Copies n bytes of what follows the window into the room behind it. */
static void gather(struct lb_reader *reader, struct lb_node *node, size_t n)
{
    reader->bytes_copied += n;
    while (n > 0) {
        struct lb_node *from = node->next;
        size_t step = min_size(n, from->len);
        memcpy(node->data + node->len, from->data, step);
        node->len += step;
        from->data += step;
        from->len -= step;
        n -= step;
        if (from->len == 0)
            retire(reader, unlink_next(reader, node));
    }
}

/* Lets the first window reach n bytes as far as its neighbours go on where it ends. */
static void join(struct lb_reader *reader, size_t n)
{
    struct lb_node *first = reader->first;
    while (first->len < n && first->next->block == first->block &&
           first->next->data == first->data + first->len) {
        first->len += first->next->len;
        /* Only the first window is ever shown, so nothing points at this one. */
        lb_node_destroy(unlink_next(reader, first));
    }
}

/* Puts an empty window on a block of its own in front of *link. */
static struct lb_node *insert_copy(struct lb_node **link, size_t capacity)
{
    struct lb_node *node = lb_block_node(capacity);
    if (node == NULL)
        return NULL;
    node->block->kind = LB_BLOCK_COPY;
    node->next = *link;
    *link = node;
    return node;
}

/* Makes the first window at least n bytes long; n is readable. */
static int pull_up(struct lb_reader *reader, size_t n)
{
    struct lb_node *first = reader->first;
    join(reader, n);
    if (first->len >= n)
        return 0;
    if (lb_node_room(first) >= n - first->len) {
        gather(reader, first, n - first->len);
        return 0;
    }
    size_t capacity = n;
    if (first->block->kind == LB_BLOCK_COPY && n < 2 * first->len)
        capacity = 2 * first->len;
    struct lb_node *copy = insert_copy(&reader->first, capacity);
    if (copy == NULL)
        return -ENOMEM;
    gather(reader, copy, n);
    return 0;
}

static int want(struct linkbuffer *lb, size_t n)
{
    if (lb->reader.len < n)
        lb_reader_pull(lb);
    return lb->reader.len < n ? -EAGAIN : 0;
}

static int want_contiguous(struct linkbuffer *lb, size_t n)
{
    struct lb_reader *reader = &lb->reader;
    int status = want(lb, n);
    if (status == 0 && reader->first->len < n)
        status = pull_up(reader, n);
    if (status == 0)
        reader->exposed = true;
    return status;
}

size_t linkbuffer_len(struct linkbuffer *lb)
{
    lb_reader_pull(lb);
    return lb->reader.len;
}

int linkbuffer_next(struct linkbuffer *lb, size_t n, const void **out)
{
    int status = linkbuffer_peek(lb, n, out);
    if (status == 0 && n > 0)
        consume(lb, n);
    return status;
}

int linkbuffer_peek(struct linkbuffer *lb, size_t n, const void **out)
{
    if (n == 0) {
        *out = NULL;
        return 0;
    }
    int status = want_contiguous(lb, n);
    if (status == 0)
        *out = lb->reader.first->data;
    return status;
}

int linkbuffer_skip(struct linkbuffer *lb, size_t n)
{
    int status = want(lb, n);
    if (status == 0)
        consume(lb, n);
    return status;
}

/* Offset of the first delimiter at or behind `from`; -EAGAIN: there is none. */
static ssize_t find(const struct lb_reader *reader, uint8_t delimiter, size_t from)
{
    size_t before = 0;
    for (const struct lb_node *node = reader->first; node != NULL; node = node->next) {
        size_t start = from > before ? from - before : 0;
        if (start < node->len) {
            const uint8_t *hit = memchr(node->data + start, delimiter, node->len - start);
            if (hit != NULL)
                return (ssize_t)(before + (size_t)(hit - node->data));
        }
        before += node->len;
    }
    return -EAGAIN;
}

int linkbuffer_until(struct linkbuffer *lb, uint8_t delimiter, const void **out, size_t *n)
{
    struct lb_reader *reader = &lb->reader;
    lb_reader_pull(lb);
    ssize_t offset =
        find(reader, delimiter, reader->searched_for == delimiter ? reader->searched : 0);
    if (offset < 0) {
        reader->searched_for = delimiter;
        reader->searched = reader->len;
        return -EAGAIN;
    }
    int status = linkbuffer_next(lb, (size_t)offset + 1, out);
    if (status == 0)
        *n = (size_t)offset + 1;
    return status;
}

size_t linkbuffer_read(struct linkbuffer *lb, void *into, size_t n)
{
    lb_reader_pull(lb);
    n = min_size(n, lb->reader.len);
    size_t copied = 0;
    for (struct lb_node *node = lb->reader.first; copied < n; node = node->next) {
        size_t step = min_size(n - copied, node->len);
        memcpy((uint8_t *)into + copied, node->data, step);
        copied += step;
    }
    consume(lb, n);
    return n;
}

int linkbuffer_read_byte(struct linkbuffer *lb, uint8_t *out)
{
    return linkbuffer_read(lb, out, 1) == 1 ? 0 : -EAGAIN;
}

/* Windows on the first n readable bytes, as the readable chain of another buffer. */
static int show(const struct lb_reader *from, size_t n, struct lb_reader *to)
{
    for (const struct lb_node *node = from->first; to->len < n; node = node->next) {
        size_t step = min_size(n - to->len, node->len);
        struct lb_node *window = lb_node_create(node->block, node->data, step);
        if (window == NULL)
            return -ENOMEM;
        if (to->last != NULL)
            to->last->next = window;
        else
            to->first = window;
        to->last = window;
        to->len += step;
    }
    return 0;
}

int linkbuffer_slice(struct linkbuffer *lb, size_t n, struct linkbuffer **out)
{
    struct linkbuffer *slice;
    *out = NULL;
    int status = want(lb, n);
    if (status == 0)
        status = linkbuffer_create(&slice);
    if (status != 0)
        return status;
    status = show(&lb->reader, n, &slice->reader);
    if (status != 0) {
        linkbuffer_destroy(slice);
        return status;
    }
    atomic_init(&slice->flushed, n);
    consume(lb, n);
    *out = slice;
    return 0;
}

int lb_reader_detach(struct linkbuffer *lb, struct lb_chain *out)
{
    struct lb_reader *reader = &lb->reader;
    lb_reader_pull(lb);
    *out = (struct lb_chain){reader->first, reader->last, reader->len};
    if (reader->first == NULL)
        return 0;
    if (reader->exposed) {
        struct lb_node *hold = lb_node_create(reader->first->block, reader->first->data, 0);
        if (hold == NULL)
            return -ENOMEM;
        retire(reader, hold);
    }
    count_consumed(lb, reader->len);
    reader->first = NULL;
    reader->last = NULL;
    reader->settled = NULL;
    reader->exposed = false;
    return 0;
}

void linkbuffer_release(struct linkbuffer *lb)
{
    struct lb_reader *reader = &lb->reader;
    lb_node_destroy_all(reader->done);
    reader->done = NULL;
    reader->exposed = false;
}

static bool is_wasteful(const struct lb_node *node, size_t copy_limit)
{
    const struct linkbuffer_block *block = node->block;
    if (block->kind == LB_BLOCK_USER || block->capacity < LB_SETTLE_BLOCK_MIN ||
        block->capacity / 4 <= node->len)
        return false;
    return node->len <= copy_limit || !linkbuffer_block_is_shared(node->block);
}

/* Settles the window behind `previous`, NULL: the first one; gives the one to go on from. */
static struct lb_node *settle_next(struct lb_reader *reader, struct lb_node *previous,
                                   size_t copy_limit)
{
    struct lb_node **link = previous == NULL ? &reader->first : &previous->next;
    struct lb_node *node = *link;
    bool wasteful = is_wasteful(node, copy_limit);
    if (!wasteful && node->len > copy_limit)
        return node;
    if (previous != NULL && lb_node_room(previous) >= node->len) {
        gather(reader, previous, node->len);
        return previous;
    }
    struct lb_node *copy = wasteful ? insert_copy(link, node->len) : NULL;
    if (copy == NULL)
        return node;
    gather(reader, copy, node->len);
    return copy;
}

void linkbuffer_settle(struct linkbuffer *lb, size_t copy_limit)
{
    struct lb_reader *reader = &lb->reader;
    lb_reader_pull(lb);
    if (reader->first != NULL) {
        /* The first one again: it has been consumed from, or others have left its block. */
        struct lb_node *previous = settle_next(reader, NULL, copy_limit);
        if (reader->settled != NULL)
            previous = reader->settled;
        while (previous->next != NULL)
            previous = settle_next(reader, previous, copy_limit);
        reader->settled = previous;
    }
    linkbuffer_release(lb);
}
