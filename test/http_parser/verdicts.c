/*
 * What the parser makes of streams of requests, for comparison with other parsers
 * (differential.py). Reads streams from standard input, each a length of four bytes, least first,
 * and so many bytes; writes a line of JSON for each:
 *
 *     {"requests": [REQUEST...], "is_open": BOOL, "end": WORD, "status": N, "fault": TEXT,
 *      "left": N}
 *     REQUEST = [START, METHOD, TARGET, MINOR_VERSION, [NAME, VALUE...], KEEPS_ALIVE, BODY,
 *                [NAME, VALUE...]]
 *
 * with bytes in hexadecimal. START is an index into the stream; the second list are trailers.
 * "is_open": of the last request the head was taken, and the body has not ended. "end" is where it
 * stopped: "end" between two requests, "head", "body" or "trailers" in one, "closed" behind one
 * that ends the connection; it was refused there if there is a "status". "left" are bytes that
 * nobody has consumed, of a stream that was not refused.
 *
 * Each stream goes through as a whole and again byte by byte; that both say the same is checked
 * here. usage: verdicts <FILE
 */
#include <nhttp/chunked.h>
#include <nhttp/head.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STREAM_BYTES_MAX ((size_t)1 << 20)

enum place {
    PLACE_HEAD,
    PLACE_LENGTH,
    PLACE_CHUNKS,
    PLACE_TRAILERS,
    PLACE_CLOSED,
    PLACE_REFUSED
};

/* A connection: the bytes that have come, how far they are consumed, and what was made of them. */
struct stream {
    const uint8_t *data;
    size_t at;
    enum place place;
    enum place refused_at;
    struct nhttp_head_parser head;
    struct nhttp_head_parser trailers;
    struct nhttp_chunked chunks;
    struct nhttp_field fields[NHTTP_HEAD_FIELDS_DEFAULT];
    struct nhttp_field trailer_fields[NHTTP_HEAD_FIELDS_DEFAULT];
    uint64_t left; /* of a body with a length */
    uint16_t status;
    const char *fault;
    unsigned requests;
    FILE *out;
    FILE *body;
    char *body_text;
    size_t body_len;
};

static void check(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "verdicts: %s\n", what);
    exit(1);
}

static void put_hex(FILE *out, const void *data, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *bytes = data;
    for (size_t i = 0; i < n; i++) {
        putc(digits[bytes[i] >> 4], out);
        putc(digits[bytes[i] & 15], out);
    }
}

static void put_span(FILE *out, const uint8_t *data, struct nhttp_span span)
{
    putc('"', out);
    put_hex(out, data + span.offset, span.len);
    putc('"', out);
}

static void put_fields(FILE *out, const struct nhttp_head *head, const uint8_t *data)
{
    putc('[', out);
    for (uint32_t i = 0; i < head->field_count; i++) {
        fputs(i > 0 ? ", " : "", out);
        put_span(out, data, head->fields[i].name);
        fputs(", ", out);
        put_span(out, data, head->fields[i].value);
    }
    putc(']', out);
}

static void begin_request(struct stream *stream)
{
    check(nhttp_head_begin(&stream->head, NHTTP_HEAD_REQUEST, NULL, stream->fields) == 0,
          "nhttp_head_begin");
    check(nhttp_head_begin(&stream->trailers, NHTTP_HEAD_TRAILERS, NULL, stream->trailer_fields) ==
              0,
          "nhttp_head_begin");
    nhttp_chunked_begin(&stream->chunks, NULL);
    stream->place = PLACE_HEAD;
    stream->body = open_memstream(&stream->body_text, &stream->body_len);
    check(stream->body != NULL, "open_memstream");
}

static void end_body(struct stream *stream)
{
    check(fclose(stream->body) == 0, "fclose");
    stream->body = NULL;
}

/* The head has been written when it was complete; the rest of the request. */
static void end_request(struct stream *stream, const uint8_t *trailers)
{
    end_body(stream);
    fprintf(stream->out, "\"%s\", ", stream->body_text);
    put_fields(stream->out, &stream->trailers.head, trailers);
    putc(']', stream->out);
    free(stream->body_text);
    stream->requests++;
    begin_request(stream);
}

static void refuse(struct stream *stream, uint16_t status, const char *fault)
{
    stream->refused_at = stream->place;
    stream->place = PLACE_REFUSED;
    stream->status = status;
    stream->fault = fault;
}

static void write_head(struct stream *stream)
{
    const struct nhttp_head *head = &stream->head.head;
    const uint8_t *data = stream->data + stream->at;
    fprintf(stream->out, "%s[%zu, ", stream->requests > 0 ? ", " : "", stream->at);
    put_span(stream->out, data, head->method_name);
    fputs(", ", stream->out);
    put_span(stream->out, data, head->target);
    fprintf(stream->out, ", %u, ", head->minor_version);
    put_fields(stream->out, head, data);
    fprintf(stream->out, ", %s, ", head->keeps_alive ? "true" : "false");
}

/* Whether there has been progress: likewise below. */
static bool take_head(struct stream *stream, size_t have)
{
    ssize_t n = nhttp_head_parse(&stream->head, stream->data + stream->at, have - stream->at);
    if (n == -EAGAIN)
        return false;
    if (n < 0) {
        refuse(stream, stream->head.status, stream->head.fault);
        return false;
    }
    write_head(stream);
    stream->at += (size_t)n;
    stream->left = 0;
    if (stream->head.head.body == NHTTP_BODY_CHUNKED) {
        stream->place = PLACE_CHUNKS;
        return true;
    }
    if (stream->head.head.body == NHTTP_BODY_LENGTH)
        stream->left = stream->head.head.content_length;
    stream->place = PLACE_LENGTH;
    return true;
}

static bool end_of_message(struct stream *stream, const uint8_t *trailers)
{
    bool keeps_alive = stream->head.head.keeps_alive;
    end_request(stream, trailers);
    if (!keeps_alive)
        stream->place = PLACE_CLOSED;
    return keeps_alive;
}

static bool take_length(struct stream *stream, size_t have)
{
    size_t n = have - stream->at;
    if (n > stream->left)
        n = (size_t)stream->left;
    put_hex(stream->body, stream->data + stream->at, n);
    stream->at += n;
    stream->left -= n;
    return stream->left == 0 && end_of_message(stream, stream->data);
}

static bool take_chunks(struct stream *stream, size_t have)
{
    struct nhttp_piece piece;
    const uint8_t *data = stream->data + stream->at;
    ssize_t n = nhttp_chunked_decode(&stream->chunks, data, have - stream->at, &piece);
    if (n < 0) {
        refuse(stream, 400, stream->chunks.fault);
        return false;
    }
    put_hex(stream->body, piece.data, piece.n);
    stream->at += (size_t)n;
    if (!nhttp_chunked_is_done(&stream->chunks))
        return n > 0;
    stream->place = PLACE_TRAILERS;
    return true;
}

static bool take_trailers(struct stream *stream, size_t have)
{
    const uint8_t *data = stream->data + stream->at;
    ssize_t n = nhttp_head_parse(&stream->trailers, data, have - stream->at);
    if (n == -EAGAIN)
        return false;
    if (n < 0) {
        refuse(stream, stream->trailers.status, stream->trailers.fault);
        return false;
    }
    stream->at += (size_t)n;
    return end_of_message(stream, data);
}

static bool advance(struct stream *stream, size_t have)
{
    switch (stream->place) {
    case PLACE_HEAD:
        return take_head(stream, have);
    case PLACE_LENGTH:
        return take_length(stream, have);
    case PLACE_CHUNKS:
        return take_chunks(stream, have);
    case PLACE_TRAILERS:
        return take_trailers(stream, have);
    case PLACE_CLOSED:
    case PLACE_REFUSED:
        break;
    }
    return false;
}

/* The rest of the line. */
static void write_end(struct stream *stream, size_t n)
{
    bool is_refused = stream->place == PLACE_REFUSED;
    enum place place = is_refused ? stream->refused_at : stream->place;
    bool is_open = place == PLACE_LENGTH || place == PLACE_CHUNKS || place == PLACE_TRAILERS;
    const char *word = "closed";
    if (is_open)
        word = place == PLACE_TRAILERS ? "trailers" : "body";
    else if (place == PLACE_HEAD)
        word = stream->at < n ? "head" : "end";
    end_body(stream);
    /* Its head stands among the requests. */
    if (is_open)
        fprintf(stream->out, "\"%s\", []]", stream->body_text);
    free(stream->body_text);
    fprintf(stream->out,
            "], \"is_open\": %s, \"end\": \"%s\", \"status\": %u, \"fault\": \"%s\", "
            "\"left\": %zu}",
            is_open ? "true" : "false", word, stream->status, is_refused ? stream->fault : "",
            is_refused ? 0 : n - stream->at);
}

/* The line for a stream that comes in pieces of so many bytes. */
static char *verdict(const uint8_t *data, size_t n, size_t step)
{
    struct stream stream = {.data = data};
    char *line = NULL;
    size_t line_len = 0;
    stream.out = open_memstream(&line, &line_len);
    check(stream.out != NULL, "open_memstream");
    fputs("{\"requests\": [", stream.out);
    begin_request(&stream);
    for (size_t have = step < n ? step : n;; have = n - have < step ? n : have + step) {
        while (advance(&stream, have))
            continue;
        if (have == n)
            break;
    }
    write_end(&stream, n);
    check(fclose(stream.out) == 0, "fclose");
    return line;
}

static bool read_stream(uint8_t *data, size_t *n)
{
    uint8_t length[4];
    size_t got = fread(length, 1, sizeof length, stdin);
    if (got == 0)
        return false;
    *n = length[0] | (size_t)length[1] << 8 | (size_t)length[2] << 16 | (size_t)length[3] << 24;
    check(got == sizeof length && *n <= STREAM_BYTES_MAX, "no length of a stream");
    check(fread(data, 1, *n, stdin) == *n, "stream that ends before its length");
    return true;
}

int main(void)
{
    uint8_t *data = malloc(STREAM_BYTES_MAX);
    size_t n;
    check(data != NULL, "malloc");
    while (read_stream(data, &n)) {
        char *whole = verdict(data, n, n > 0 ? n : 1);
        char *dripped = verdict(data, n, 1);
        if (strcmp(whole, dripped) != 0) {
            fprintf(stderr, "verdicts: the split decides\n%s\n%s\n", whole, dripped);
            exit(1);
        }
        puts(whole);
        free(whole);
        free(dripped);
    }
    free(data);
    return 0;
}
