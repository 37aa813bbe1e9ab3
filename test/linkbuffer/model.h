/*
 * A buffer as a flat array of bytes, and what it has shown until release.
 */
#ifndef TEST_LINKBUFFER_MODEL_H
#define TEST_LINKBUFFER_MODEL_H

#include <linkbuffer/linkbuffer.h>

#include <stddef.h>
#include <stdint.h>

enum {
    HELD = 48,
    LIMIT = 1 << 17
};

struct held {
    const uint8_t *shown;
    uint8_t *expected;
    size_t n;
};

/* One buffer and what must be in it. */
struct model {
    struct linkbuffer *lb;
    size_t unread;
    size_t written;           /* not flushed */
    uint8_t bytes[2 * LIMIT]; /* unread, then written */
    struct held held[HELD];
    size_t held_count;
};

/* Remembers what the buffer has shown of its first n unread bytes. */
void model_hold(struct model *m, const void *shown, size_t n);
/* What was remembered is unchanged. */
void model_check_held(struct model *m);
void model_drop_held(struct model *m);
void model_consume(struct model *m, size_t n);
/* What is readable, up to the first file, is what the model says, and no window is empty. */
void model_check_content(struct model *m);

#endif
