/* What both sides read from. */
#include "buffer_case.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_BYTES (STREAM_PREFIX + STREAM_PAYLOAD)
/* So many chunks end where a message ends: 51 of 16 KiB are 4096 messages of 204 bytes. */
#define STREAM_CHUNKS (MESSAGE_BYTES / 4)

_Static_assert(STREAM_CHUNKS *STREAM_CHUNK % MESSAGE_BYTES == 0, "the stream goes on seamlessly");

char buffer_source[BUFFER_SOURCE_BYTES];
volatile unsigned char buffer_sink;

static char stream_bytes[STREAM_CHUNKS * STREAM_CHUNK];

static void fill_stream(void)
{
    uint32_t length = htonl(STREAM_PAYLOAD);
    for (size_t at = 0; at < sizeof stream_bytes; at += MESSAGE_BYTES) {
        memcpy(&stream_bytes[at], &length, sizeof length);
        memset(&stream_bytes[at + STREAM_PREFIX], 'm', STREAM_PAYLOAD);
    }
}

const char *stream_next(struct stream *stream)
{
    static bool is_filled;
    if (!is_filled)
        fill_stream();
    is_filled = true;
    const char *chunk = &stream_bytes[stream->chunk * STREAM_CHUNK];
    stream->chunk = (stream->chunk + 1) % STREAM_CHUNKS;
    return chunk;
}

uint32_t stream_length(const void *prefix)
{
    uint32_t length;
    memcpy(&length, prefix, sizeof length);
    return ntohl(length);
}

void stream_check(const void *payload, size_t n)
{
    const char *bytes = payload;
    if (n != STREAM_PAYLOAD || bytes[0] != 'm' || bytes[n - 1] != 'm') {
        fprintf(stderr, "bench_linkbuffer: a message of the stream is not what was sent\n");
        exit(1);
    }
}

noreturn void buffer_fail(const char *call, int error)
{
    fprintf(stderr, "bench_linkbuffer: %s: %s\n", call, strerror(error));
    exit(1);
}
