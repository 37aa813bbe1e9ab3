/**
 * Chunked transfer coding: RFC 9112, section 7.1. Incremental over pieces of any size; the payload
 * is told as ranges of the caller's bytes and never copied.
 *
 * Strict: a size is hexadecimal digits and nothing else; extensions are checked and thrown away;
 * every line ends in CR LF. What lines take beyond what their chunks carry is limited, so that a
 * peer cannot send megabytes of extensions around single bytes.
 *
 * Threads: a decoder belongs to one thread at a time.
 */
#ifndef NHTTP_CHUNKED_H
#define NHTTP_CHUNKED_H

#include <nhttp/export.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Default of nhttp_chunked_limits.line_bytes. */
#define NHTTP_CHUNK_LINE_BYTES_DEFAULT 256U
/** Default of nhttp_chunked_limits.overhead_bytes. */
#define NHTTP_CHUNK_OVERHEAD_BYTES_DEFAULT 16384U
/** Largest nhttp_chunked_limits.line_bytes. */
#define NHTTP_CHUNK_LINE_BYTES_MAX 65536U

/** 0: the default. */
struct nhttp_chunked_limits {
    uint32_t line_bytes;     /**< of a line with a size, without its end */
    uint32_t overhead_bytes; /**< of lines above 16 bytes and twice the payload for each chunk,
                                  summed over the body and never below 0 */
};

/** Decoding of one body. Members are the decoder's. */
struct nhttp_chunked {
    struct nhttp_chunked_limits limits;
    const char *fault; /**< why it was refused, for logs: a constant text; NULL: it was not */
    uint64_t left;     /* of the chunk's payload; while its line is read, the size so far */
    uint64_t overhead;
    uint32_t line; /* bytes of the line so far */
    uint8_t state;
};

/** A piece of payload. */
struct nhttp_piece {
    const void *data; /**< within what the caller gave */
    size_t n;
};

/**
 * Begins a body.
 *
 * @param limits  NULL: the defaults
 */
NHTTP_API void nhttp_chunked_begin(struct nhttp_chunked *decoder,
                                   const struct nhttp_chunked_limits *limits);

/**
 * Goes on with a body, up to the end of one piece of payload.
 *
 * @param data   bytes that no call has consumed yet
 * @param piece  payload among them; n is 0 when there is none
 * @return bytes consumed, the piece included, up to n: call again with the rest until it consumes
 *         nothing; -EBADMSG when this is no chunked body, and for every further call
 *
 * Once nhttp_chunked_is_done(), nothing is consumed: the trailer section follows, empty as a rule,
 * see NHTTP_HEAD_TRAILERS.
 */
NHTTP_API NHTTP_MUST_CHECK ssize_t nhttp_chunked_decode(struct nhttp_chunked *decoder,
                                                        const void *data, size_t n,
                                                        struct nhttp_piece *piece);

/** Whether the last chunk, of size 0, has been consumed. */
NHTTP_API NHTTP_MUST_CHECK bool nhttp_chunked_is_done(const struct nhttp_chunked *decoder);

#ifdef __cplusplus
}
#endif

#endif
