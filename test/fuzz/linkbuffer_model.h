/*
 * Buffers and what must be in them: flat arrays of bytes, and the memory that has been shown.
 */
#ifndef TEST_FUZZ_LINKBUFFER_MODEL_H
#define TEST_FUZZ_LINKBUFFER_MODEL_H

#include "input.h"

#include <linkbuffer/io.h>
#include <linkbuffer/linkbuffer.h>

enum {
    BUFFERS = 6, /* the first two live for the whole run, the rest are slices */
    HELD = 24,
    RESERVED = 8,
    LIMIT = 1 << 17, /* bytes in a buffer */
    SPACE = 3 * LIMIT,
    DELIMITER = 128 /* in new content now and then */
};

/* Memory that a buffer has shown; it must not change until release. */
struct held {
    const uint8_t *shown;
    uint8_t *expected;
    size_t n;
    bool by_iov; /* these loans may end earlier */
};

/* A reservation that has not been filled yet. */
struct reserved {
    uint8_t *into;
    size_t at; /* offset in what is written and not flushed */
    size_t n;
};

struct model {
    struct linkbuffer *lb; /* NULL: there is none */
    uint8_t *bytes;        /* SPACE */
    size_t start;          /* of the unread bytes; what is written follows them */
    size_t unread;
    size_t written; /* not flushed */
    size_t peak;    /* most bytes that were unread and written */
    size_t copied;  /* as the buffer's figures said last */
    struct held held[HELD];
    size_t held_count;
    struct reserved reserved[RESERVED];
    size_t reserved_count;
};

extern struct model models[BUFFERS];

/* The next allocation but nth of the library fails. */
void alloc_fail(unsigned nth);
/* Whether it has, since alloc_fail(); ends that. */
bool alloc_failed(void);
/* Whether a call that may fail for memory has succeeded; any other failure is a fault. */
bool succeeded(ssize_t status);

/* Takes over a buffer with n readable bytes. */
void model_start(struct model *m, struct linkbuffer *lb, const uint8_t *bytes, size_t n);
/* Destroys the buffer, with all checks. */
void model_end(struct model *m);

static inline uint8_t *model_unread(struct model *m)
{
    return m->bytes + m->start;
}

/* Behind everything written there is place for n bytes; NULL when the buffer would be too large. */
uint8_t *model_place(struct model *m, size_t n);
/* The same, filled with new content. */
uint8_t *model_new_content(struct model *m, size_t n);
void fill_new(uint8_t *into, size_t n);
void model_consume(struct model *m, size_t n);
/* What is written is flushed. */
void model_flush(struct model *m);

/* The first n unread bytes have been shown at the address. */
void model_hold(struct model *m, const void *shown, size_t n, bool by_iov);
void model_check_held(const struct model *m);
void model_drop_held(struct model *m, bool only_by_iov);

/* Fills what has been reserved, both in the buffer's memory and here. */
void model_fill_reserved(struct model *m);

/* The figures agree. */
void model_check(struct model *m);
/* All readable bytes agree. */
void model_check_content(struct model *m);

/* Sizes, those around the capacities of blocks often. */
size_t choose_size(struct fuzz_input *in);
/* What to ask a reader for: in its windows, at their ends, all, more. */
size_t choose_demand(struct fuzz_input *in, struct model *m);

typedef void operation_fn(struct fuzz_input *in, struct model *m);

extern operation_fn *const write_operations[];
extern const size_t write_operation_count;
extern operation_fn *const read_operations[];
extern const size_t read_operation_count;
extern operation_fn *const io_operations[];
extern const size_t io_operation_count;

/* The block that do_adopt() lends ranges of is released; no lent memory is left. */
void writing_end(void);
/* Closes the descriptors. */
void io_end(void);

#endif
