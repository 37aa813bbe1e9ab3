/* Chunked bodies. */
#include <nhttp/chunked.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(chunked, .timeout = 60);

#define PAYLOAD_MAX ((size_t)64 * 1024)

struct decoded {
    struct nhttp_chunked decoder;
    char payload[PAYLOAD_MAX];
    size_t n;
    size_t consumed;
    int status; /* 0: done; -EAGAIN: there has to be more; -EBADMSG */
};

/* Gives what is there, which lies in memory of its own. */
static void give(struct decoded *out, const char *raw, size_t n)
{
    char *copy = malloc(n > 0 ? n : 1);
    size_t at = 0;
    cr_assert_not_null(copy);
    memcpy(copy, raw, n);
    for (;;) {
        struct nhttp_piece piece;
        ssize_t result = nhttp_chunked_decode(&out->decoder, copy + at, n - at, &piece);
        if (result <= 0) {
            out->status = nhttp_chunked_is_done(&out->decoder) ? 0 : -EAGAIN;
            if (result < 0)
                out->status = (int)result;
            break;
        }
        cr_assert_leq(out->n + piece.n, PAYLOAD_MAX);
        if (piece.n > 0)
            memcpy(out->payload + out->n, piece.data, piece.n);
        out->n += piece.n;
        at += (size_t)result;
    }
    out->consumed += at;
    free(copy);
}

static void decode(const char *raw, size_t n, size_t cut, struct decoded *out)
{
    out->n = 0;
    out->consumed = 0;
    nhttp_chunked_begin(&out->decoder, NULL);
    give(out, raw, cut);
    for (size_t at = cut; out->status == -EAGAIN && at < n; at++)
        give(out, raw + at, 1);
}

/* As a whole, then each beginning at once and the rest byte by byte. */
static const struct decoded *decode_in_every_way(const char *raw)
{
    static struct decoded whole;
    static struct decoded other;
    size_t n = strlen(raw);
    decode(raw, n, n, &whole);
    for (size_t cut = 0; cut < n; cut++) {
        decode(raw, n, cut, &other);
        cr_assert_eq(other.status, whole.status, "cut at %zu: %s", cut, raw);
        cr_assert_eq(other.decoder.fault, whole.decoder.fault);
        if (whole.status == -EBADMSG)
            continue;
        cr_assert_eq(other.consumed, whole.consumed);
        cr_assert_eq(other.n, whole.n);
        cr_assert_eq(memcmp(other.payload, whole.payload, whole.n), 0);
    }
    return &whole;
}

static void expect(const char *raw, const char *payload, const char *rest)
{
    const struct decoded *decoded = decode_in_every_way(raw);
    cr_assert_eq(decoded->status, 0, "%s: %s", decoded->decoder.fault, raw);
    cr_assert_eq(decoded->n, strlen(payload), "%s", raw);
    cr_assert_eq(memcmp(decoded->payload, payload, decoded->n), 0);
    cr_assert_str_eq(raw + decoded->consumed, rest);
}

Test(chunked, payload_comes_out_and_what_follows_stays)
{
    expect("5\r\nhello\r\n0\r\n\r\n", "hello", "\r\n");
    expect("A\r\n0123456789\r\n0\r\nX: y\r\n\r\n", "0123456789", "X: y\r\n\r\n");
    expect("1\r\na\r\n02\r\nbc\r\n000\r\n\r\nGET", "abc", "\r\nGET");
    expect("0\r\n\r\n", "", "\r\n");
    expect("3;a;b=c;d=\"e \\\" f\"\r\nabc\r\n0;x\r\n\r\n", "abc", "\r\n");
}

Test(chunked, what_is_none_is_refused)
{
    static const char *const bad[] = {
        "0x5\r\nhello\r\n",
        "+5\r\nhello\r\n",
        "-5\r\nhello\r\n",
        "5 \r\nhello\r\n",
        " 5\r\nhello\r\n",
        "5\t\r\nhello\r\n",
        "\r\n\r\n",
        "0_5\r\nhello\r\n",
        "5;a=\"x\r\nhello\r\n",
        "5;a\nb\r\nhello\r\n",
        "5\r\r;ABCD\r\n",
        "5\nhello\r\n",
        "5\r\nhello\n0\r\n",
        "5\r\nhellox\r\n",
        "5\r\nhellox\n0\r\n",
        ("5;\x01"
         "e\r\n"),
        "5;\r\nhello\r\n",
        "5;=x\r\nhello\r\n",
        "5;a=\r\nhello\r\n",
        "5 ;a\r\nhello\r\n",
        "5;a=\"x\"y\r\nhello\r\n",
        "g\r\n",
        "5\r\nhello\rX",
        "8000000000000000\r\n",
        "10000000000000000\r\n",
        "5;a b\r\nhello\r\n",
        "5;a=\"\x7f\"\r\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const struct decoded *decoded = decode_in_every_way(bad[i]);
        cr_assert_eq(decoded->status, -EBADMSG, "taken: %s", bad[i]);
        cr_assert_not_null(decoded->decoder.fault);
    }
}

/* Chunks of one byte each are slow, and legal. */
Test(chunked, single_bytes_are_legal)
{
    static struct decoded decoded;
    nhttp_chunked_begin(&decoded.decoder, NULL);
    for (unsigned i = 0; i < 60000; i++)
        give(&decoded, "1\r\nx\r\n", 6);
    give(&decoded, "0\r\n", 3);
    cr_assert_eq(decoded.status, 0);
    cr_assert_eq(decoded.n, 60000);
}

/* Extensions of 200 bytes around single bytes. */
static unsigned chunks_until_refused(const struct nhttp_chunked_limits *limits)
{
    static struct decoded decoded;
    char chunk[300];
    int n = snprintf(chunk, sizeof chunk, "1;%0200d\r\nx\r\n", 0);
    decoded.n = 0;
    nhttp_chunked_begin(&decoded.decoder, limits);
    for (unsigned i = 0; i < 10000; i++) {
        give(&decoded, chunk, (size_t)n);
        if (decoded.status == -EBADMSG)
            return i;
    }
    return 0;
}

Test(chunked, bodies_of_mostly_lines_are_refused)
{
    unsigned usual = chunks_until_refused(NULL);
    cr_assert(usual >= 70 && usual <= 100, "%u", usual);
    cr_assert_lt(chunks_until_refused(&(struct nhttp_chunked_limits){.overhead_bytes = 1000}), 10);
    cr_assert_eq(chunks_until_refused(&(struct nhttp_chunked_limits){.line_bytes = 100}), 0);
}

Test(chunked, lines_up_to_the_limit)
{
    static struct decoded decoded;
    char line[400];
    for (int n = 254; n <= 255; n++) {
        snprintf(line, sizeof line, "5;%0*d\r\nhello\r\n0\r\n\r\n", n, 0);
        decode(line, strlen(line), strlen(line), &decoded);
        cr_assert_eq(decoded.status, n == 254 ? 0 : -EBADMSG);
        cr_assert_eq(decode_in_every_way(line)->status, decoded.status);
    }
}
