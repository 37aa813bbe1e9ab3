/*
 * Gives the parser a head, or a chunked body, of so many bytes one byte at a time, for linear.sh.
 * usage: drip SHAPE BYTES
 * SHAPE: value (one field's value), fields (many short ones), target, name, chunks
 */
#include <nhttp/chunked.h>
#include <nhttp/head.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BYTES_MAX  ((size_t)1 << 20)
#define FIELDS_MAX ((uint32_t)BYTES_MAX / 8)

static char raw[BYTES_MAX];
static struct nhttp_field table[FIELDS_MAX];

static size_t put(size_t at, const char *text)
{
    while (*text != '\0')
        raw[at++] = *text++;
    return at;
}

/* The pattern as often as it fits. */
static size_t fill(size_t at, size_t end, const char *pattern)
{
    while (at + strlen(pattern) <= end)
        at = put(at, pattern);
    return at;
}

/* Bytes of the head. */
static size_t make_head(const char *shape, size_t bytes)
{
    static const char line[] = " HTTP/1.1\r\nHost: a\r\n";
    size_t body = bytes - 100;
    size_t at = put(0, "GET /");
    if (strcmp(shape, "target") == 0)
        at = fill(at, body, "t");
    at = put(at, line);
    if (strcmp(shape, "fields") == 0)
        return put(fill(at, body, "Nam: v\r\n"), "\r\n");
    if (strcmp(shape, "name") == 0)
        at = fill(at, body, "N");
    at = put(at, "N: ");
    if (strcmp(shape, "value") == 0)
        at = fill(at, body, "v");
    return put(at, "\r\n\r\n");
}

static bool drip_head(size_t n)
{
    const struct nhttp_head_limits limits = {
        .line_bytes = BYTES_MAX, .head_bytes = BYTES_MAX, .fields = FIELDS_MAX};
    struct nhttp_head_parser parser;
    if (nhttp_head_begin(&parser, NHTTP_HEAD_REQUEST, &limits, table) != 0)
        return false;
    for (size_t i = 1; i < n; i++) {
        if (nhttp_head_parse(&parser, raw, i) != -EAGAIN)
            return false;
    }
    return nhttp_head_parse(&parser, raw, n) == (ssize_t)n;
}

static bool drip_chunks(size_t n)
{
    struct nhttp_chunked decoder;
    struct nhttp_piece piece;
    nhttp_chunked_begin(&decoder, NULL);
    for (size_t i = 0; i < n; i++) {
        if (nhttp_chunked_decode(&decoder, raw + i, 1, &piece) != 1)
            return false;
    }
    return nhttp_chunked_is_done(&decoder);
}

int main(int argc, char **argv)
{
    size_t bytes = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
    if (bytes < 200 || bytes > BYTES_MAX) {
        fprintf(stderr, "usage: drip SHAPE BYTES, from 200 to %zu\n", BYTES_MAX);
        return 2;
    }
    if (strcmp(argv[1], "chunks") == 0)
        return drip_chunks(put(fill(0, bytes - 100, "1\r\nx\r\n"), "0\r\n")) ? 0 : 1;
    return drip_head(make_head(argv[1], bytes)) ? 0 : 1;
}
