#include <nhttp/escape.h>

#include "words.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef ssize_t decode_fn(struct nhttp_text text, char *out);
typedef ssize_t encode_fn(struct nhttp_text text, char *out, size_t size);

struct decoding {
    struct nhttp_text text;
    struct nhttp_text want; /* data NULL: refused */
};
#define REFUSED \
    {           \
        0       \
    }
#define T(literal)                      \
    {                                   \
        (literal), sizeof(literal) - 1, \
    }

/* Also in place, and behind 0 to 16 bytes that stand for themselves: runs are eight at a time. */
static void check_decoding(decode_fn *decode, const struct decoding *it)
{
    for (size_t before = 0; before <= 16; before++) {
        size_t n = before + it->text.len;
        char *text = exact(n);
        char *out = exact(n);
        memset(text, 'x', before);
        memcpy(text + before, it->text.data, it->text.len);
        ssize_t got = decode((struct nhttp_text){text, n}, out);
        ssize_t in_place = decode((struct nhttp_text){text, n}, text);
        cr_assert_eq(got, in_place);
        if (it->want.data == NULL) {
            cr_assert_eq(got, -EBADMSG, "%s: %zd", it->text.data, got);
        } else {
            cr_assert_eq(got, (ssize_t)(before + it->want.len), "%s: %zd", it->text.data, got);
            cr_assert_arr_eq(out + before, it->want.data, it->want.len, "%s", it->text.data);
            cr_assert_arr_eq(text, out, (size_t)got, "%s", it->text.data);
        }
        free(text);
        free(out);
    }
}

Test(escape, paths_are_decoded_once_and_strictly)
{
    static const struct decoding cases[] = {
        {T(""), T("")},
        {T("/a/b"), T("/a/b")},
        {T("a+b"), T("a+b")},
        {T("a%20b"), T("a b")},
        {T("%41%5a%5A%7e"), T("AZZ~")},
        {T("%2f%2F"), T("//")},
        {T("%25"), T("%")},
        {T("%252e"), T("%2e")},
        {T("%2561"), T("%61")},
        {T("%c0%ae"), T("\xc0\xae")},
        {T("\xc3\xa9%c3%a9"), T("\xc3\xa9\xc3\xa9")},
        {T("%ff%80%01%7f"), T("\xff\x80\x01\x7f")},
        {T("\x01\t"), T("\x01\t")},
        {T("%"), REFUSED},
        {T("%4"), REFUSED},
        {T("%4g"), REFUSED},
        {T("%g4"), REFUSED},
        {T("%%41"), REFUSED},
        {T("%u0041"), REFUSED},
        {T("% 41"), REFUSED},
        {T("%+1"), REFUSED},
        {T("%00"), REFUSED},
        {T("a%00b"), REFUSED},
        {T("%0d"), REFUSED},
        {T("%0a"), REFUSED},
        {T("%0D%0AX: y"), REFUSED},
        {T("a\0b"), REFUSED},
        {T("a\rb"), REFUSED},
        {T("a\n"), REFUSED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_decoding(nhttp_unescape_path, &cases[i]);
}

Test(escape, queries_are_decoded_once_and_keep_what_is_no_escape)
{
    static const struct decoding cases[] = {
        {T(""), T("")},
        {T("a+b"), T("a b")},
        {T("++"), T("  ")},
        {T("a%2Bb"), T("a+b")},
        {T("a%20b"), T("a b")},
        {T("100%"), T("100%")},
        {T("100%+"), T("100% ")},
        {T("%4"), T("%4")},
        {T("%4g"), T("%4g")},
        {T("%%41"), T("%A")},
        {T("%2%35"), T("%25")},
        {T("%252541"), T("%2541")},
        {T("line%0D%0Aline"), T("line\r\nline")},
        {T("a\rb\n"), T("a\rb\n")},
        {T("%c3%a9\xc3"), T("\xc3\xa9\xc3")},
        {T("a%00"), REFUSED},
        {T("\0"), REFUSED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_decoding(nhttp_unescape_query, &cases[i]);
}

static void check_encoding(encode_fn *encode, struct nhttp_text text, struct nhttp_text want)
{
    char out[64];
    for (size_t size = 0; size <= want.len + 1; size++) {
        memset(out, '#', sizeof out);
        ssize_t got = encode(text, out, size);
        if (size < want.len) {
            cr_assert_eq(got, -ENOSPC);
        } else {
            cr_assert_eq(got, (ssize_t)want.len, "%s", want.data);
            cr_assert_arr_eq(out, want.data, want.len, "%s", want.data);
        }
        cr_assert_eq(out[size], '#');
    }
}

Test(escape, what_is_encoded)
{
    check_encoding(nhttp_escape_segment, NHTTP_TEXT(""), NHTTP_TEXT(""));
    check_encoding(nhttp_escape_segment, NHTTP_TEXT("aZ09-._~"), NHTTP_TEXT("aZ09-._~"));
    check_encoding(nhttp_escape_segment, NHTTP_TEXT("a/b?c#d e+f%"),
                   NHTTP_TEXT("a%2Fb%3Fc%23d%20e%2Bf%25"));
    check_encoding(nhttp_escape_segment, NHTTP_TEXT("\xc3\xa9\x01"), NHTTP_TEXT("%C3%A9%01"));
    check_encoding(nhttp_escape_segment, NHTTP_TEXT("..."), NHTTP_TEXT("..."));
    check_encoding(nhttp_escape_query, NHTTP_TEXT("a b+c&d=e;f%"),
                   NHTTP_TEXT("a+b%2Bc%26d%3De%3Bf%25"));
    check_encoding(nhttp_escape_query, NHTTP_TEXT("\r\n."), NHTTP_TEXT("%0D%0A."));
}

Test(escape, what_cannot_be_encoded)
{
    char out[16];
    cr_assert_eq(nhttp_escape_segment(NHTTP_TEXT("."), out, sizeof out), -EINVAL);
    cr_assert_eq(nhttp_escape_segment(NHTTP_TEXT(".."), out, sizeof out), -EINVAL);
    cr_assert_eq(nhttp_escape_segment(NHTTP_TEXT("a\0"), out, sizeof out), -EINVAL);
    cr_assert_eq(nhttp_escape_segment(NHTTP_TEXT("a\r"), out, sizeof out), -EINVAL);
    cr_assert_eq(nhttp_escape_segment(NHTTP_TEXT("\nb"), out, sizeof out), -EINVAL);
    cr_assert_eq(nhttp_escape_query(NHTTP_TEXT("a\0b"), out, sizeof out), -EINVAL);
}

static void check_round_trip(encode_fn *encode, decode_fn *decode, struct nhttp_text text)
{
    char encoded[NHTTP_ESCAPE_BYTES_MAX(40)];
    ssize_t n = encode(text, encoded, NHTTP_ESCAPE_BYTES_MAX(text.len));
    if (n == -EINVAL)
        return;
    cr_assert_geq(n, (ssize_t)text.len);
    for (ssize_t i = 0; i < n; i++)
        cr_assert(strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~%+",
                         encoded[i]) != NULL &&
                  encoded[i] != '\0');
    cr_assert_eq(decode((struct nhttp_text){encoded, (size_t)n}, encoded), (ssize_t)text.len);
    cr_assert_arr_eq(encoded, text.data, text.len);
}

Test(escape, decoding_gives_back_what_was_encoded)
{
    struct random random = {1};
    size_t usable = 0;
    for (int round = 0; round < 100000; round++) {
        char text[40];
        size_t n = below(&random, sizeof text + 1);
        for (size_t i = 0; i < n; i++)
            text[i] = (char)below(&random, 256);
        usable += memchr(text, '\0', n) == NULL;
        check_round_trip(nhttp_escape_segment, nhttp_unescape_path, (struct nhttp_text){text, n});
        check_round_trip(nhttp_escape_query, nhttp_unescape_query, (struct nhttp_text){text, n});
    }
    cr_assert_gt(usable, 10000);
}
