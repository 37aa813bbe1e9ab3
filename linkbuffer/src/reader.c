/* Bytes out: taken from the mailbox, read in place, given back by release. Reader side. */
#include "hostile.h"
#include "linkbuffer.h"
#include "validate.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* More windows than a search walks over again. */
#define LB_SEARCH_WINDOWS ((size_t)64)

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Whether the second window goes on in memory where the first one ends. */
static bool touches(const struct lb_node *node, const struct lb_node *next)
{
    return next->block == node->block && next->data == node->data + node->len;
}

/* A window that goes on with the last one joins it, so that what comes in small pieces behind each
 * other stays one window. */
void lb_reader_append(struct lb_reader *reader, struct lb_node *first, struct lb_node *last)
{
    struct lb_node *seam = reader->last;
    if (seam == NULL) {
        reader->first = first;
    } else if (touches(seam, first)) {
        seam->len += first->len;
        seam->next = first->next;
        if (last == first)
            last = seam;
        lb_node_destroy(first);
    } else {
        seam->next = first;
    }
    reader->last = last;
}

void lb_reader_empty_mailbox(struct linkbuffer *lb)
{
    struct lb_reader *reader = &lb->reader;
    /* Pairs with the stores in publish(): the newest one comes after those of the older chains. */
    struct lb_node *chain = atomic_exchange_explicit(&lb->mailbox, NULL, memory_order_acquire);
    struct lb_node *newest_last = chain->chain_last;
    struct lb_node *newer = NULL;
    while (chain != NULL) {
        struct lb_node *last = chain->chain_last;
        struct lb_node *older = last->next;
        assert(chain->chain_len > 0);
        last->next = newer;
        reader->len += chain->chain_len;
        newer = chain;
        chain = older;
    }
    lb_reader_append(reader, newer, newest_last);
}

/* The caller may hold a pointer into the first window. Nothing is stored when that is known. */
static inline void expose_first(struct lb_reader *reader)
{
    if (!reader->exposed)
        reader->exposed = 1;
}

/* Takes n bytes off the first window, which has them. */
static inline void trim_first(struct lb_reader *reader, size_t n)
{
    struct lb_node *node = reader->first;
    if (n < node->len) {
        node->data += n;
        node->len -= n;
        return;
    }
    reader->first = node->next;
    if (reader->first == NULL)
        reader->last = NULL;
    if (reader->settled == node)
        reader->settled = NULL;
    if (reader->exposed)
        reader->exposed = 0;
    node->len = 0;
    lb_reader_retire(reader, node);
}

void lb_reader_consume(struct linkbuffer *lb, size_t n)
{
    struct lb_reader *reader = &lb->reader;
    lb_reader_count_consumed(lb, n);
    while (n > 0) {
        assert(reader->first != NULL); /* len is the sum of the windows */
        size_t step = min_size(n, reader->first->len);
        trim_first(reader, step);
        n -= step;
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

void lb_reader_gather(struct lb_reader *reader, struct lb_node *node, size_t n)
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
            lb_reader_retire(reader, unlink_next(reader, node));
    }
}

/* Lets the first window reach n bytes as far as its neighbours go on where it ends. */
static void join(struct lb_reader *reader, size_t n)
{
    struct lb_node *first = reader->first;
    while (first->len < n && touches(first, first->next)) {
        first->len += first->next->len;
        /* Only the first window is ever shown, so nothing points at this one. */
        lb_node_destroy(unlink_next(reader, first));
    }
}

struct lb_node *lb_reader_insert_copy(struct lb_node **link, size_t capacity)
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
        lb_reader_gather(reader, first, n - first->len);
        return 0;
    }
    size_t capacity = n;
    if (first->block->kind == LB_BLOCK_COPY && n < 2 * first->len)
        capacity = 2 * first->len;
    struct lb_node *copy = lb_reader_insert_copy(&reader->first, capacity);
    if (copy == NULL)
        return -ENOMEM;
    lb_reader_gather(reader, copy, n);
    return 0;
}

static inline int want(struct linkbuffer *lb, size_t n)
{
    if (lb->reader.len < n)
        lb_reader_pull(lb);
    return lb->reader.len < n ? -EAGAIN : 0;
}

/* What was flushed last, when nothing else is readable; otherwise NULL. It stays where it is. */
static inline struct lb_node *look_at_slot(struct linkbuffer *lb)
{
    if (lb->reader.first != NULL)
        return NULL;
    /* Both pair as in lb_reader_pull(). */
    bool more = atomic_load_explicit(&lb->mailbox, memory_order_acquire) != NULL;
    struct lb_node *chain = atomic_load_explicit(&lb->slot, memory_order_acquire);
    return more ? NULL : chain;
}

/* Consumes n bytes, all of the chain that look_at_slot() gave. */
static inline void consume_slot(struct linkbuffer *lb, size_t n)
{
    /* Relaxed, as in lb_reader_pull(). */
    atomic_store_explicit(&lb->slot, NULL, memory_order_relaxed);
    size_t consumed = atomic_load_explicit(&lb->consumed, memory_order_relaxed) + n;
    /* Pairs with the load in linkbuffer_unread(). */
    atomic_store_explicit(&lb->consumed, consumed, memory_order_release);
}

size_t linkbuffer_len(struct linkbuffer *lb)
{
    LB_READER_CALL(lb);
    lb_reader_pull(lb);
    return lb->reader.len;
}

/* The calls below have a path each that calls nothing, for data that is there in one piece. */
static __attribute__((noinline)) int next_pulled_up(struct linkbuffer *lb, size_t n,
                                                    const void **out)
{
    int status = linkbuffer_peek(lb, n, out);
    if (status == 0)
        lb_reader_consume(lb, n);
    return status;
}

int linkbuffer_next(struct linkbuffer *lb, size_t n, const void **out)
{
    LB_READER_CALL(lb);
    struct lb_reader *reader = &lb->reader;
    struct lb_node *first = reader->first;
    if (n == 0 || LB_IS_HOSTILE)
        return next_pulled_up(lb, n, out);
    if (first != NULL && n < first->len) {
        *out = first->data;
        expose_first(reader);
        lb_reader_count_consumed(lb, n);
        first->data += n;
        first->len -= n;
        return 0;
    }
    struct lb_node *chain = look_at_slot(lb);
    if (chain != NULL && chain->chain_len == n && chain->chain_last == chain) {
        /* A message that came as a whole. */
        *out = chain->data;
        consume_slot(lb, n);
        lb_reader_retire(reader, chain);
        return 0;
    }
    return next_pulled_up(lb, n, out);
}

static __attribute__((noinline)) int peek_pulled_up(struct linkbuffer *lb, size_t n,
                                                    const void **out)
{
    struct lb_reader *reader = &lb->reader;
    int status = want(lb, n);
    if (status == 0 && reader->first->len < n)
        status = pull_up(reader, n);
    if (status == 0) {
        *out = reader->first->data;
        expose_first(reader);
    }
    return status;
}

int linkbuffer_peek(struct linkbuffer *lb, size_t n, const void **out)
{
    LB_READER_CALL(lb);
    struct lb_node *first = lb->reader.first;
    if (n == 0) {
        *out = NULL;
        return 0;
    }
    if (LB_IS_HOSTILE)
        return lb_hostile_peek(lb, n, out);
    if (first == NULL || n > first->len)
        return peek_pulled_up(lb, n, out);
    *out = first->data;
    expose_first(&lb->reader);
    return 0;
}

int linkbuffer_skip(struct linkbuffer *lb, size_t n)
{
    LB_READER_CALL(lb);
    int status = want(lb, n);
    if (status == 0)
        lb_reader_consume(lb, n);
    return status;
}

/*
 * Offset of the first delimiter at or behind `from`; -EAGAIN: there is none. *windows: how many
 * were looked at.
 */
static ssize_t find(const struct lb_reader *reader, uint8_t delimiter, size_t from, size_t *windows)
{
    size_t before = 0;
    *windows = 0;
    for (const struct lb_node *node = reader->first; node != NULL; node = node->next) {
        size_t start = from > before ? from - before : 0;
        if (start < node->len) {
            const uint8_t *hit = memchr(node->data + start, delimiter, node->len - start);
            if (hit != NULL)
                return (ssize_t)(before + (size_t)(hit - node->data));
        }
        before += node->len;
        ++*windows;
    }
    return -EAGAIN;
}

/* Remembers what was searched in vain. */
static void note_search(struct lb_reader *reader, uint8_t delimiter, size_t consumed,
                        size_t windows)
{
    reader->searched_for = delimiter;
    reader->searched = (consumed + reader->len) & LB_POSITION_MASK;
    /* So that to pass them again and again does not cost the square of their number. */
    if (windows > LB_SEARCH_WINDOWS)
        (void)pull_up(reader, reader->len);
}

ssize_t linkbuffer_find(struct linkbuffer *lb, uint8_t delimiter)
{
    LB_READER_CALL(lb);
    struct lb_reader *reader = &lb->reader;
    lb_reader_pull(lb);
    /* Relaxed: this side stored it. */
    size_t consumed = atomic_load_explicit(&lb->consumed, memory_order_relaxed);
    /* Above what is readable: the read position has passed it. */
    size_t from = (reader->searched - consumed) & LB_POSITION_MASK;
    if (reader->searched_for != delimiter || from > reader->len)
        from = 0;
    size_t windows;
    ssize_t offset = find(reader, delimiter, from, &windows);
    if (offset < 0)
        note_search(reader, delimiter, consumed, windows);
    return offset;
}

int linkbuffer_until(struct linkbuffer *lb, uint8_t delimiter, const void **out, size_t *n)
{
    ssize_t offset = linkbuffer_find(lb, delimiter);
    if (offset < 0)
        return (int)offset;
    int status = linkbuffer_next(lb, (size_t)offset + 1, out);
    if (status == 0)
        *n = (size_t)offset + 1;
    return status;
}

void lb_reader_copy_out(const struct lb_reader *reader, void *into, size_t n)
{
    size_t copied = 0;
    for (const struct lb_node *node = reader->first; copied < n; node = node->next) {
        size_t step = min_size(n - copied, node->len);
        memcpy((uint8_t *)into + copied, node->data, step);
        copied += step;
    }
}

size_t linkbuffer_read(struct linkbuffer *lb, void *into, size_t n)
{
    LB_READER_CALL(lb);
    lb_reader_pull(lb);
    n = min_size(n, lb->reader.len);
    lb_reader_copy_out(&lb->reader, into, n);
    lb_reader_consume(lb, n);
    return n;
}

int linkbuffer_read_byte(struct linkbuffer *lb, uint8_t *out)
{
    LB_READER_CALL(lb);
    int status = want(lb, 1);
    if (status == 0) {
        *out = *lb->reader.first->data;
        lb_reader_consume(lb, 1);
    }
    return status;
}

int lb_reader_detach(struct linkbuffer *lb, struct lb_chain *out)
{
    LB_READER_CALL(lb);
    struct lb_reader *reader = &lb->reader;
    struct lb_node *chain = look_at_slot(lb);
    if (chain != NULL) {
        *out = (struct lb_chain){chain, chain->chain_last, chain->chain_len};
        consume_slot(lb, chain->chain_len);
        return 0;
    }
    lb_reader_pull(lb);
    *out = (struct lb_chain){reader->first, reader->last, reader->len};
    if (reader->first == NULL)
        return 0;
    if (reader->exposed) {
        struct lb_node *hold = lb_node_share(reader->first, 0);
        if (hold == NULL)
            return -ENOMEM;
        lb_reader_retire(reader, hold);
    }
    lb_reader_count_consumed(lb, reader->len);
    reader->first = NULL;
    reader->last = NULL;
    reader->settled = NULL;
    reader->exposed = 0;
    return 0;
}

void linkbuffer_release(struct linkbuffer *lb)
{
    LB_READER_CALL(lb);
    struct lb_reader *reader = &lb->reader;
    lb_node_destroy_all(reader->done);
    reader->done = NULL;
    if (reader->exposed)
        reader->exposed = 0;
}
