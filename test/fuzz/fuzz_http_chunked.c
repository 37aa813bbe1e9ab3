/*
 * The decoder of chunks against one that has all bytes at once: the same payload, verdict and
 * consumption, however the bytes are split. The bytes of each call lie in memory of their own size.
 */
#include "input.h"

#include <nhttp/chunked.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    CUTS_MAX = 7,
    PAYLOAD_MAX = 1 << 16
};

enum outcome {
    BAD,
    MORE,
    DONE,
    GO_ON
};

/* What a decoder has made of the bytes. */
struct decoded {
    enum outcome outcome;
    size_t consumed;
    size_t n;
    uint8_t payload[PAYLOAD_MAX];
};

/* The plain one. `line` is where the line began. */
struct plain {
    const uint8_t *data;
    size_t n;
    size_t at;
    size_t line;
    struct nhttp_chunked_limits limits;
};

static bool is_token(uint8_t byte)
{
    return (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= 'a' && byte <= 'z') || (byte != 0 && strchr("!#$%&'*+-.^_`|~", byte) != NULL);
}

static bool is_text(uint8_t byte)
{
    return byte == '\t' || (byte >= ' ' && byte != 0x7f);
}

static int hex(uint8_t byte)
{
    const char *digits = "0123456789abcdef0123456789ABCDEF";
    const char *at = byte != 0 ? strchr(digits, byte) : NULL;
    return at != NULL ? (int)(at - digits) % 16 : -1;
}

/* Whether there is a byte; the line may have it unless it is too long. */
static enum outcome look(const struct plain *plain, uint8_t *byte)
{
    if (plain->at == plain->n)
        return MORE;
    *byte = plain->data[plain->at];
    bool is_over = plain->at - plain->line >= plain->limits.line_bytes;
    return is_over && *byte != '\r' ? BAD : GO_ON;
}

static enum outcome take_size(struct plain *plain, uint64_t *size)
{
    unsigned __int128 value = 0;
    size_t digits = 0;
    uint8_t byte;
    for (;; digits++, plain->at++) {
        enum outcome outcome = look(plain, &byte);
        if (outcome != GO_ON)
            return outcome;
        if (hex(byte) < 0)
            break;
        value = value * 16 + (unsigned)hex(byte);
        if (value > INT64_MAX)
            return BAD;
    }
    *size = (uint64_t)value;
    return digits > 0 ? GO_ON : BAD;
}

static enum outcome take_token(struct plain *plain)
{
    uint8_t byte;
    for (size_t len = 0;; len++, plain->at++) {
        enum outcome outcome = look(plain, &byte);
        if (outcome != GO_ON)
            return outcome;
        if (!is_token(byte))
            return len > 0 ? GO_ON : BAD;
    }
}

/* Behind the opening quotes, up to the closing ones. */
static enum outcome take_quoted(struct plain *plain)
{
    bool is_escaped = false;
    uint8_t byte;
    for (;;) {
        enum outcome outcome = look(plain, &byte);
        if (outcome != GO_ON)
            return outcome;
        plain->at++;
        if (!is_text(byte))
            return BAD;
        if (!is_escaped && byte == '"')
            return GO_ON;
        is_escaped = !is_escaped && byte == '\\';
    }
}

/* ";" and what follows it. */
static enum outcome take_extension(struct plain *plain)
{
    uint8_t byte;
    plain->at++;
    enum outcome outcome = take_token(plain);
    if (outcome == GO_ON)
        outcome = look(plain, &byte);
    if (outcome != GO_ON || byte != '=')
        return outcome;
    plain->at++;
    outcome = look(plain, &byte);
    if (outcome != GO_ON || byte != '"')
        return outcome == GO_ON ? take_token(plain) : outcome;
    plain->at++;
    return take_quoted(plain);
}

static enum outcome take_word(struct plain *plain, const char *word)
{
    for (; *word != '\0'; word++, plain->at++) {
        if (plain->at == plain->n)
            return MORE;
        if (plain->data[plain->at] != (uint8_t)*word)
            return BAD;
    }
    return GO_ON;
}

static enum outcome take_line(struct plain *plain, uint64_t *size)
{
    uint8_t byte;
    plain->line = plain->at;
    enum outcome outcome = take_size(plain, size);
    while (outcome == GO_ON) {
        outcome = look(plain, &byte);
        if (outcome != GO_ON || byte != ';')
            break;
        outcome = take_extension(plain);
    }
    return outcome == GO_ON ? take_word(plain, "\r\n") : outcome;
}

static enum outcome decode_plainly(struct plain *plain, struct decoded *out)
{
    uint64_t overhead = 0;
    for (;;) {
        uint64_t size = 0;
        enum outcome outcome = take_line(plain, &size);
        if (outcome != GO_ON)
            return outcome;
        /* Two bytes of the end are counted for the line, two for the payload. */
        overhead += plain->at - plain->line + 2;
        uint64_t paid = 16 + 2 * (size < UINT32_MAX ? size : UINT32_MAX);
        overhead = overhead > paid ? overhead - paid : 0;
        if (overhead > plain->limits.overhead_bytes)
            return BAD;
        if (size == 0)
            return DONE;
        size_t left = plain->n - plain->at;
        size_t n = size < left ? (size_t)size : left;
        memcpy(out->payload + out->n, plain->data + plain->at, n);
        out->n += n;
        plain->at += n;
        outcome = n < size ? MORE : take_word(plain, "\r\n");
        if (outcome != GO_ON)
            return outcome;
    }
}

static void give(struct nhttp_chunked *decoder, const uint8_t *data, size_t n, struct decoded *out)
{
    uint8_t *copy = malloc(n > 0 ? n : 1);
    size_t at = 0;
    FUZZ_CHECK(copy != NULL);
    if (n > 0)
        memcpy(copy, data, n);
    while (out->outcome == MORE) {
        struct nhttp_piece piece;
        ssize_t result = nhttp_chunked_decode(decoder, copy + at, n - at, &piece);
        if (result < 0) {
            FUZZ_CHECK(result == -EBADMSG && decoder->fault != NULL);
            FUZZ_CHECK(nhttp_chunked_decode(decoder, copy, n, &piece) == -EBADMSG);
            out->outcome = BAD;
            break;
        }
        FUZZ_CHECK((size_t)result <= n - at && piece.n <= (size_t)result);
        if (piece.n > 0)
            memcpy(out->payload + out->n, piece.data, piece.n);
        out->n += piece.n;
        at += (size_t)result;
        if (nhttp_chunked_is_done(decoder))
            out->outcome = DONE;
        if (result == 0)
            break;
    }
    out->consumed += at;
    free(copy);
}

/* NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct decoded ours;
    static struct decoded wanted;
    struct fuzz_input in = {data, size};
    uint8_t choice = fuzz_byte(&in);
    size_t cuts[CUTS_MAX];
    size_t cut_count = choice % (CUTS_MAX + 1);
    bool drips = (choice & 8) != 0;
    struct nhttp_chunked_limits limits = {.line_bytes = 2 + (uint32_t)(choice >> 4) * 4,
                                          .overhead_bytes = 1 + (uint32_t)(choice >> 4)};
    struct nhttp_chunked decoder;

    fuzz_count();
    for (size_t i = 0; i < cut_count; i++)
        cuts[i] = fuzz_u16(&in);
    if (in.left > PAYLOAD_MAX)
        return 0;
    struct plain plain = {.data = in.at, .n = in.left, .limits = limits};
    wanted.n = 0;
    wanted.outcome = decode_plainly(&plain, &wanted);
    ours.n = ours.consumed = 0;
    ours.outcome = MORE;
    nhttp_chunked_begin(&decoder, &limits);
    for (size_t i = 0, at = 0; at < in.left; i++) {
        size_t left = in.left - at;
        size_t n = left;
        if (drips)
            n = 1;
        else if (i < cut_count)
            n = cuts[i] % (left + 1);
        give(&decoder, in.at + at, n, &ours);
        at += n;
    }
    FUZZ_CHECK(ours.outcome == wanted.outcome && ours.n == wanted.n);
    FUZZ_CHECK(memcmp(ours.payload, wanted.payload, ours.n) == 0);
    FUZZ_CHECK(ours.outcome == BAD || ours.consumed == plain.at);
    return 0;
}
