/*
 * The two sides of a buffer and the mailbox between them.
 *
 * What the writer flushes goes into the mailbox as a whole chain and is the reader's from there:
 * no node is ever touched by both sides, so the reader may free every node it has consumed, the
 * last one too.
 */
#ifndef LB_LINKBUFFER_H
#define LB_LINKBUFFER_H

#include "block.h"

#include <linkbuffer/linkbuffer.h>

struct lb_chain {
    struct lb_node *first;
    struct lb_node *last;
    size_t len;
    bool has_file; /* it may have windows on files */
};

/* Of a position that is kept; it comes round after 18 PB. */
#define LB_POSITION_MASK (((uint64_t)1 << 54) - 1)
/* In chain_len of a chain in the mailbox: it may have windows on files. */
#define LB_CHAIN_HAS_FILE (SIZE_MAX / 2 + 1)

struct lb_reader {
    struct lb_node *first; /* readable, up to the first file; no window is empty */
    struct lb_node *last;  /* of all that is readable */
    size_t len;            /* likewise */
    struct lb_node *done;  /* consumed, kept until release */
    union {
        struct lb_node *settled; /* the last one that linkbuffer_settle() has left; NULL: none */
        struct lb_node *file;    /* with has_file: the first file and what comes behind it */
    };
    size_t bytes_copied;
    uint64_t searched : 54; /* position, counted as consumed is: no searched_for before it */
    uint64_t searched_for : 8;
    uint64_t exposed : 1; /* the caller may hold a pointer into the first node */
    uint64_t has_file : 1;
};

struct lb_writer {
    struct lb_node *first; /* written, not flushed; only a held place may be empty */
    struct lb_node *last;
    size_t len;
    uint16_t room;           /* bytes behind the last window that this side may extend it by */
    uint16_t copied;         /* of len, bytes in blocks allocated here, up to LB_BLOCK_AHEAD_MAX */
    uint8_t chunk;           /* LB_CHUNK_UNIT: to allocate for the first block of a flush */
    uint8_t last_chunk;      /* LB_CHUNK_UNIT: what the last flush copied, up to LB_CHUNK_MAX */
    uint8_t input_level : 7; /* size of blocks to receive into: 4 KiB at 1, doubling; 0: unused */
    uint8_t has_file : 1;    /* what is written may have windows on files */
    bool is_held;            /* first lies behind flushed bytes, in a block kept for a demand */
};

struct linkbuffer {
    struct lb_reader reader;
    struct lb_writer writer;
    /*
     * The chains the reader has not taken yet, newest first: the last node of each is linked to
     * the first of the one before. The writer puts a chain on top with release, the reader takes
     * all of them by an exchange with acquire, so what has been flushed is never out of sight.
     * Only the writer makes it non-NULL, so a writer that sees NULL may store without looking
     * again, and a compare that succeeds means that nothing was taken in between.
     *
     * In front of it is a slot for one chain, which costs no read-modify-write. The writer fills it
     * when both are empty, so what it holds is older than what the mailbox holds; a reader looks at
     * the mailbox first and takes from the slot first. A chain with files goes into the mailbox, so
     * what the slot holds may be read through.
     */
    _Atomic(struct lb_node *) slot;
    _Atomic(struct lb_node *) mailbox;
    _Atomic size_t flushed;  /* written by the writer only; pairs with linkbuffer_unread() */
    _Atomic size_t consumed; /* written by the reader only; pairs with linkbuffer_unread() */
    /* Position up to which the reader wants its bytes in one piece: unmet while above flushed.
     * Written by the reader only; relaxed, a hint about memory. */
    _Atomic size_t demand;
};

_Static_assert(sizeof(struct linkbuffer) <= 128, "an empty buffer is 128 bytes");

/* Reader side */

/* Appends a chain that nothing points into yet. */
void lb_reader_append(struct lb_reader *reader, struct lb_node *first, struct lb_node *last);
/* Takes what is in the mailbox, which is not empty. */
void lb_reader_empty_mailbox(struct linkbuffer *lb);
/* Takes what the writer has flushed. */
static inline void lb_reader_pull(struct linkbuffer *lb)
{
    /* Acquire: what is in the slot when the mailbox is seen to be full came before that. Pairs with
     * publish(), as the load below. */
    bool more = atomic_load_explicit(&lb->mailbox, memory_order_acquire) != NULL;
    struct lb_node *chain = atomic_load_explicit(&lb->slot, memory_order_acquire);
    if (chain != NULL) {
        struct lb_reader *reader = &lb->reader;
        struct lb_node *last = chain->chain_last;
        reader->len += chain->chain_len;
        /* Relaxed, with the load in publish(): it tells that the slot is empty, and nothing else.
         */
        atomic_store_explicit(&lb->slot, NULL, memory_order_relaxed);
        if (reader->last == NULL) {
            reader->first = chain;
            reader->last = last;
        } else {
            lb_reader_append(reader, chain, last);
        }
    }
    if (__builtin_expect(more, 0))
        lb_reader_empty_mailbox(lb);
}

/* Moves the read position over n bytes whose windows are taken care of. */
static inline void lb_reader_count_consumed(struct linkbuffer *lb, size_t n)
{
    lb->reader.len -= n;
    size_t consumed = atomic_load_explicit(&lb->consumed, memory_order_relaxed) + n;
    /* Pairs with the load in linkbuffer_unread(). */
    atomic_store_explicit(&lb->consumed, consumed, memory_order_release);
}

/* Consumes n readable bytes. */
void lb_reader_consume(struct linkbuffer *lb, size_t n);
/* Copies n bytes of what follows the window into the room behind it. */
void lb_reader_gather(struct lb_reader *reader, struct lb_node *node, size_t n);
/* Keeps a window without bytes until release: pointers into it may be in use. */
static inline void lb_reader_retire(struct lb_reader *reader, struct lb_node *node)
{
    node->next = reader->done;
    reader->done = node;
}
/* Puts an empty window on a block of its own in front of *link; NULL: no memory. */
struct lb_node *lb_reader_insert_copy(struct lb_node **link, size_t capacity);
/* Copies the first n readable bytes; how many, fewer when a file could not be read. */
size_t lb_reader_copy_out(const struct lb_reader *reader, void *into, size_t n);
/* Moves the readable chain to *out; pointers into it stay valid until release. 0 or -ENOMEM. */
int lb_reader_detach(struct linkbuffer *lb, struct lb_chain *out);

/* Writer side */

/* What may be written behind the window, all of whose block behind it is this side's. */
static inline uint16_t lb_writer_room(const struct lb_node *last)
{
    size_t rest = lb_node_rest(last);
    return rest < UINT16_MAX ? (uint16_t)rest : UINT16_MAX;
}

/* Appends a new block, of whose payload the first n bytes count as written. */
void lb_writer_start_block(struct lb_writer *writer, struct lb_node *node, size_t n);
/* Appends n bytes to the last window; there is room for them, and n > 0. */
uint8_t *lb_writer_extend(struct lb_writer *writer, size_t n);
/* Takes back what was written behind the first n bytes; n is at most len. */
void lb_writer_cut(struct lb_writer *writer, size_t n);
/* Bytes that a demand still lacks when all that was written is counted; 0: none unmet. */
size_t lb_writer_demand(const struct linkbuffer *lb);
/* Called by a flush of a buffer that is received into, with something written: an empty window
 * that holds the place behind it while a demand is unmet; NULL: none. */
struct lb_node *lb_input_flush(struct linkbuffer *lb);
/* Drops the held place when no demand is unmet. */
void lb_input_unhold(struct linkbuffer *lb);

#endif
