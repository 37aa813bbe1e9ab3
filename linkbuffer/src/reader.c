/* Bytes out: taken from the mailbox, read in place, given back by release. Reader side. */
#include "file.h"
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
    size_t marks = 0;
    while (chain != NULL) {
        struct lb_node *last = chain->chain_last;
        struct lb_node *older = last->next;
        assert(chain->chain_len > 0);
        last->next = newer;
        marks |= chain->chain_len;
        reader->len += chain->chain_len & ~LB_CHAIN_HAS_FILE;
        newer = chain;
        chain = older;
    }
    lb_reader_append(reader, newer, newest_last);
    if ((marks & LB_CHAIN_HAS_FILE) != 0 && !reader->has_file)
        lb_reader_split(reader);
}

/* The caller may hold a pointer into the first window. Nothing is stored when that is known. */
static inline void expose_first(struct lb_reader *reader)
{
    if (!reader->exposed)
        reader->exposed = 1;
}

/* The first window has been consumed whole. */
static inline void take_first(struct lb_reader *reader, struct lb_node *node)
{
    reader->first = node->next;
    if (reader->last == node)
        reader->last = NULL;
    if (reader->settled == node)
        reader->settled = NULL;
    if (reader->exposed)
        reader->exposed = 0;
    node->len = 0;
    lb_reader_retire(reader, node);
}

/* Consumes up to n bytes of the chain; what is left of n. */
static inline size_t consume_chain(struct lb_reader *reader, size_t n)
{
    while (n > 0) {
        struct lb_node *node = reader->first;
        if (node == NULL)
            return n;
        if (n < node->len) {
            node->data += n;
            node->len -= n;
            return 0;
        }
        n -= node->len;
        take_first(reader, node);
    }
    return 0;
}

static __attribute__((noinline)) void consume_files(struct lb_reader *reader, size_t n)
{
    lb_reader_join_file(reader);
    n = consume_chain(reader, n);
    assert(n == 0); /* len is the sum of the windows */
    lb_reader_split(reader);
}

void lb_reader_consume(struct linkbuffer *lb, size_t n)
{
    lb_reader_count_consumed(lb, n);
    n = consume_chain(&lb->reader, n);
    if (__builtin_expect(n > 0, 0))
        consume_files(&lb->reader, n);
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
    if (lb->reader.last != NULL)
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
    if (status == 0 && reader->has_file)
        status = lb_reader_load(reader, n, n);
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
 * Offset of the first delimiter at or behind `from`; -EAGAIN: there is none; -EIO. *windows: how
 * many were looked at in front of the first file.
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
    if (!reader->has_file)
        return -EAGAIN;
    ssize_t offset = lb_file_find(reader->file, delimiter, from > before ? from - before : 0);
    return offset < 0 ? offset : (ssize_t)before + offset;
}

/* Remembers what was searched in vain. */
static void note_search(struct lb_reader *reader, uint8_t delimiter, size_t consumed,
                        size_t windows)
{
    reader->searched_for = delimiter;
    reader->searched = (consumed + reader->len) & LB_POSITION_MASK;
    /* So that to pass them again and again does not cost the square of their number. */
    if (windows > LB_SEARCH_WINDOWS && !reader->has_file)
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
    if (offset == -EAGAIN)
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

size_t lb_reader_copy_out(const struct lb_reader *reader, void *into, size_t n)
{
    size_t copied = 0;
    const struct lb_node *node = reader->first;
    for (; copied < n && node != NULL; node = node->next) {
        size_t step = min_size(n - copied, node->len);
        memcpy((uint8_t *)into + copied, node->data, step);
        copied += step;
    }
    if (copied < n)
        copied += lb_file_copy_out(reader->file, (uint8_t *)into + copied, n - copied);
    return copied;
}

size_t linkbuffer_read(struct linkbuffer *lb, void *into, size_t n)
{
    LB_READER_CALL(lb);
    lb_reader_pull(lb);
    n = min_size(n, lb->reader.len);
    n = lb_reader_copy_out(&lb->reader, into, n);
    lb_reader_consume(lb, n);
    return n;
}

/* Makes the first readable byte lie in the first window. */
static __attribute__((noinline)) int look_for_byte(struct linkbuffer *lb)
{
    int status = want(lb, 1);
    if (status == 0 && lb->reader.first == NULL)
        status = lb_reader_load(&lb->reader, 1, SIZE_MAX);
    return status;
}

int linkbuffer_read_byte(struct linkbuffer *lb, uint8_t *out)
{
    LB_READER_CALL(lb);
    int status = lb->reader.first == NULL ? look_for_byte(lb) : 0;
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
        *out =
            (struct lb_chain){.first = chain, .last = chain->chain_last, .len = chain->chain_len};
        consume_slot(lb, chain->chain_len);
        return 0;
    }
    lb_reader_pull(lb);
    *out = (struct lb_chain){.last = reader->last, .len = reader->len};
    if (reader->last == NULL)
        return 0;
    if (reader->exposed) {
        struct lb_node *hold = lb_node_share(reader->first, 0);
        if (hold == NULL)
            return -ENOMEM;
        lb_reader_retire(reader, hold);
    }
    out->has_file = reader->has_file;
    lb_reader_join_file(reader);
    out->first = reader->first;
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
