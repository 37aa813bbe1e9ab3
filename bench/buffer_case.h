/**
 * What is measured of byte buffers: the operations, done by each side in its best usual way.
 */
#ifndef BENCH_BUFFER_CASE_H
#define BENCH_BUFFER_CASE_H

#include <stddef.h>
#include <stdint.h>
#include <stdnoreturn.h>

enum buffer_op {
    BUFFER_WRITE,        /* copy in; read in place, or copied out where that is the usual way */
    BUFFER_IN_PLACE,     /* copy in, read in place */
    BUFFER_SLICE,        /* a part of 64 KiB becomes a buffer of its own, which is destroyed */
    BUFFER_SLICE_REF,    /* the same, without a copy on either side */
    BUFFER_APPEND,       /* copy into one buffer, move to another, read there */
    BUFFER_MOVE,         /* size pieces move from buffer to buffer */
    BUFFER_FRAMING,      /* messages from a stream; loans end when the block is read */
    BUFFER_FRAMING_EACH, /* the same; loans end after every message */
    BUFFER_DIRECT,       /* the caller's memory goes into the middle of reserved space */
    BUFFER_OP_COUNT
};

/** Does an operation count times. Ends the process when it fails. */
typedef void buffer_op_fn(size_t size, uint64_t count);

/** One of the libraries; NULL where it has no such operation. */
struct buffer_side {
    const char *name;
    buffer_op_fn *ops[BUFFER_OP_COUNT];
};

extern const struct buffer_side buffer_ours;
extern const struct buffer_side buffer_evbuffer;

/** Bytes that linkbuffer has copied to show bytes that lay in one piece. */
size_t buffer_copied_contiguous(void);

/** Bytes that linkbuffer has copied to take and show the caller's memory. */
size_t buffer_copied_write_ref(void);

/** Bytes that linkbuffer copies per message of the stream, those across its chunks among them. */
double buffer_copied_framing(void);

/** Bytes that are written, sliced and referred to: as many as the largest case needs. */
#define BUFFER_SOURCE_BYTES ((size_t)64 * 1024)
extern char buffer_source[BUFFER_SOURCE_BYTES];

/** What is read goes here, so that no compiler leaves the reading out. */
extern volatile unsigned char buffer_sink;

/** Bytes that a stream delivers at a time. */
#define STREAM_CHUNK ((size_t)16 * 1024)
/** Payload of the stream's messages; 4 bytes of length in network order come before it. */
#define STREAM_PAYLOAD ((size_t)200)
#define STREAM_PREFIX  ((size_t)4)

/** A place in an endless stream of messages. Zeroed is the beginning. */
struct stream {
    size_t chunk;
};

/** The next chunk, borrowed. */
const char *stream_next(struct stream *stream);

/** The length in front of a message. */
uint32_t stream_length(const void *prefix);

/** Looks at the payload of a message; ends the process when it is not what was sent. */
void stream_check(const void *payload, size_t n);

/** Says which call failed and ends the process. */
noreturn void buffer_fail(const char *call, int error);

#endif
