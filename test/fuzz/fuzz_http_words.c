/*
 * Escapes, paths, arguments, cookies, lists and dates. What they promise holds for any bytes, and
 * plain versions of the decoders, a byte at a time, say the same. Every text lies in memory of its
 * own size.
 */
#include "input.h"

#include <nhttp/args.h>
#include <nhttp/cookie.h>
#include <nhttp/date.h>
#include <nhttp/escape.h>
#include <nhttp/list.h>
#include <nhttp/path.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static char *copy_of(struct nhttp_text text)
{
    char *copy = malloc(text.len > 0 ? text.len : 1);
    FUZZ_CHECK(copy != NULL);
    if (text.len > 0)
        memcpy(copy, text.data, text.len);
    return copy;
}

static bool is_within(struct nhttp_text part, struct nhttp_text whole)
{
    return part.len == 0 ||
           (part.data >= whole.data && part.data + part.len <= whole.data + whole.len);
}

static int hex(char byte)
{
    const char *digits = "0123456789abcdef0123456789ABCDEF";
    const char *at = byte != '\0' ? strchr(digits, byte) : NULL;
    return at != NULL ? (int)(at - digits) % 16 : -1;
}

static ssize_t decode_plainly(struct nhttp_text text, bool is_query, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        char byte = text.data[i];
        if (byte == '%' && text.len - i > 2 && hex(text.data[i + 1]) >= 0 &&
            hex(text.data[i + 2]) >= 0) {
            byte = (char)(hex(text.data[i + 1]) * 16 + hex(text.data[i + 2]));
            i += 2;
        } else if (byte == '%' && !is_query) {
            return -EBADMSG;
        } else if (byte == '+' && is_query) {
            byte = ' ';
        }
        if (byte == '\0' || (!is_query && (byte == '\r' || byte == '\n')))
            return -EBADMSG;
        out[n++] = byte;
    }
    return (ssize_t)n;
}

static ssize_t decode(struct nhttp_text text, bool is_query, char *out)
{
    return is_query ? nhttp_unescape_query(text, out) : nhttp_unescape_path(text, out);
}

static void check_decoding(struct nhttp_text text, bool is_query)
{
    char *out = copy_of(text);
    char *wanted = copy_of(text);
    char *here = copy_of(text);
    ssize_t n = decode(text, is_query, out);
    ssize_t wanted_n = decode_plainly(text, is_query, wanted);
    FUZZ_CHECK(n == wanted_n);
    FUZZ_CHECK(decode((struct nhttp_text){here, text.len}, is_query, here) == n);
    if (n > 0)
        FUZZ_CHECK(memcmp(out, wanted, (size_t)n) == 0 && memcmp(out, here, (size_t)n) == 0);
    free(out);
    free(wanted);
    free(here);
}

static void check_encoding(struct nhttp_text text, bool is_query, size_t size)
{
    size_t enough = NHTTP_ESCAPE_BYTES_MAX(text.len);
    size_t room = size < enough ? size : enough;
    char *out = malloc(room > 0 ? room : 1);
    FUZZ_CHECK(out != NULL);
    ssize_t n =
        is_query ? nhttp_escape_query(text, out, room) : nhttp_escape_segment(text, out, room);
    FUZZ_CHECK(n >= 0 || n == -EINVAL || (n == -ENOSPC && room < enough));
    if (n >= 0) {
        FUZZ_CHECK((size_t)n <= room);
        FUZZ_CHECK(decode((struct nhttp_text){out, (size_t)n}, is_query, out) == (ssize_t)text.len);
        FUZZ_CHECK(text.len == 0 || memcmp(out, text.data, text.len) == 0);
    }
    free(out);
}

/* Whether a segment, which may be escaped, is one or two dots. */
static bool is_dots(struct nhttp_text segment, bool is_escaped)
{
    char *out = copy_of(segment);
    ssize_t n = (ssize_t)segment.len;
    if (is_escaped)
        n = nhttp_unescape_path(segment, out);
    bool is = (n == 1 || n == 2) && memcmp(out, "..", (size_t)n) == 0;
    free(out);
    return is;
}

static void check_normal(const char *path, size_t n, unsigned flags)
{
    struct nhttp_text text = {path, n};
    char *once = copy_of(text);
    ssize_t first = nhttp_path_normalize(path, n, flags, once);
    FUZZ_CHECK(first == -EBADMSG || (first >= 0 && (size_t)first <= n));
    if (first >= 0) {
        size_t len = (size_t)first;
        char *twice = copy_of((struct nhttp_text){once, len});
        FUZZ_CHECK(nhttp_path_normalize(twice, len, flags, twice) == first);
        FUZZ_CHECK(memcmp(once, twice, len) == 0);
        FUZZ_CHECK((len == 0) == (n == 0) && (len == 0 || once[0] == '/'));
        FUZZ_CHECK((flags & NHTTP_PATH_MERGE_SLASHES) == 0 || memmem(once, len, "//", 2) == NULL);
        for (size_t at = 0; at < len;) {
            const char *next = memchr(once + at + 1, '/', len - at - 1);
            size_t end = next != NULL ? (size_t)(next - once) : len;
            FUZZ_CHECK(!is_dots((struct nhttp_text){once + at + 1, end - at - 1},
                                (flags & NHTTP_PATH_ESCAPED) != 0));
            at = end;
        }
        free(twice);
    }
    free(once);
}

static void check_path(struct nhttp_text text)
{
    char *out = copy_of(text);
    char *wanted = copy_of(text);
    ssize_t n = nhttp_path_decode(text.data, text.len, out);
    /* First decoded, then without dots: what makes it fast changes nothing. */
    ssize_t wanted_n =
        text.len > 0 && text.data[0] != '/' ? -EBADMSG : decode_plainly(text, false, wanted);
    if (wanted_n >= 0)
        wanted_n = nhttp_path_normalize(wanted, (size_t)wanted_n, 0, wanted);
    FUZZ_CHECK(n == wanted_n && (n <= 0 || memcmp(out, wanted, (size_t)n) == 0));
    for (unsigned flags = 0; flags < 4; flags++)
        check_normal(text.data, text.len, flags);
    free(out);
    free(wanted);
}

static void check_arg(const struct nhttp_arg *arg)
{
    uint64_t number = 0;
    bool is_yes = false;
    char *name = copy_of(arg->name);
    char *value = copy_of(arg->value);
    ssize_t n = nhttp_unescape_query(arg->name, name);
    FUZZ_CHECK(n < 0 || nhttp_arg_is(arg, (struct nhttp_text){name, (size_t)n}));
    n = nhttp_unescape_query(arg->value, value);
    int status = nhttp_arg_unsigned(arg, &number);
    if (status == 0) {
        /* The last digits of what was decoded. */
        FUZZ_CHECK(n > 0);
        for (ssize_t i = n; i > 0; i--, number /= 10)
            FUZZ_CHECK(value[i - 1] == (char)('0' + number % 10));
        FUZZ_CHECK(number == 0);
    }
    FUZZ_CHECK(status == 0 || status == -EINVAL || (status == -ERANGE && n >= 20));
    status = nhttp_arg_bool(arg, &is_yes);
    FUZZ_CHECK(status == 0 || (status == -EINVAL && arg->has_value));
    free(name);
    free(value);
}

static void check_args(struct nhttp_text text, size_t limit)
{
    struct nhttp_args args;
    struct nhttp_arg arg = {0};
    struct nhttp_arg found;
    size_t count = 0;
    int status;
    nhttp_args_begin(&args, text, limit);
    while ((status = nhttp_args_next(&args, &arg)) == 0) {
        FUZZ_CHECK(++count <= (limit > 0 ? limit : NHTTP_ARGS_DEFAULT));
        FUZZ_CHECK(is_within(arg.name, text) && is_within(arg.value, text));
        FUZZ_CHECK(arg.has_value || arg.value.len == 0);
        FUZZ_CHECK(memchr(arg.name.data, '=', arg.name.len) == NULL);
        check_arg(&arg);
    }
    FUZZ_CHECK(status == -ENOENT || status == -E2BIG);
    FUZZ_CHECK(nhttp_args_next(&args, &arg) == status);
    /* By the last name as it came: that is one, if nothing in it is to be decoded. */
    int find = nhttp_args_find(text, arg.name, limit, &found);
    ssize_t times = nhttp_args_count(text, arg.name, limit);
    FUZZ_CHECK(find == 0 || find == status);
    FUZZ_CHECK(status == -E2BIG ? times == -E2BIG : (times > 0) == (find == 0));
}

static void check_cookies(struct nhttp_text text, size_t limit)
{
    struct nhttp_cookies cookies;
    struct nhttp_cookie cookie = {0};
    struct nhttp_text value;
    size_t count = 0;
    int status;
    nhttp_cookies_begin(&cookies, text, limit);
    while ((status = nhttp_cookies_next(&cookies, &cookie)) == 0) {
        FUZZ_CHECK(++count <= (limit > 0 ? limit : NHTTP_COOKIES_DEFAULT));
        FUZZ_CHECK(is_within(cookie.name, text) && is_within(cookie.value, text));
        FUZZ_CHECK(cookie.name.len > 0 && memchr(cookie.name.data, '=', cookie.name.len) == NULL);
        FUZZ_CHECK(memchr(cookie.name.data, ';', cookie.name.len) == NULL);
        FUZZ_CHECK(cookie.value.len == 0 ||
                   memchr(cookie.value.data, ';', cookie.value.len) == NULL);
        FUZZ_CHECK(nhttp_cookies_find(text, cookie.name, limit, &value) == 0);
    }
    FUZZ_CHECK(status == -ENOENT || status == -E2BIG);
    FUZZ_CHECK(nhttp_cookies_next(&cookies, &cookie) == status);
}

/* Takes the next part of a text, up to a tilde. */
static struct nhttp_text take_part(struct nhttp_text *text)
{
    const char *end = text->len > 0 ? memchr(text->data, '~', text->len) : NULL;
    size_t n = end != NULL ? (size_t)(end - text->data) : text->len;
    struct nhttp_text part = {text->data, n};
    size_t taken = end != NULL ? n + 1 : n;
    *text = (struct nhttp_text){text->len > 0 ? text->data + taken : NULL, text->len - taken};
    return part;
}

/* An attribute of a cookie that was written, off its front. */
static void expect(struct nhttp_text *have, const char *words, struct nhttp_text value)
{
    size_t n = strlen(words);
    FUZZ_CHECK(have->len >= n + value.len && memcmp(have->data, words, n) == 0);
    FUZZ_CHECK(value.len == 0 || memcmp(have->data + n, value.data, value.len) == 0);
    have->data += n + value.len;
    have->len -= n + value.len;
}

static void check_set(struct nhttp_text text, uint8_t flags, size_t size)
{
    static const char *const same_sites[] = {"", "; SameSite=Lax", "; SameSite=Strict",
                                             "; SameSite=None"};
    const struct nhttp_text none = {0};
    struct nhttp_set_cookie cookie = {
        .name = take_part(&text),
        .value = take_part(&text),
        .path = take_part(&text),
        .domain = take_part(&text),
        .same_site = (enum nhttp_same_site)(flags % 4),
        .secure = (flags & 4) != 0,
        .http_only = (flags & 8) != 0,
        .partitioned = (flags & 16) != 0,
        .max_age_s = (flags & 32) != 0 ? NHTTP_COOKIE_EXPIRED : 0,
        .expires = (flags & 64) != 0 ? 1 : 0,
    };
    char *out = malloc(size > 0 ? size : 1);
    FUZZ_CHECK(out != NULL);
    ssize_t n = nhttp_set_cookie_format(&cookie, out, size);
    FUZZ_CHECK(n == -EINVAL || n == -ENOSPC || (n > 0 && (size_t)n < size));
    if (n < 0) {
        FUZZ_CHECK(size == 0 || out[0] == '\0');
        free(out);
        return;
    }
    /* There is what was said, and nothing else. */
    struct nhttp_text have = {out, (size_t)n};
    FUZZ_CHECK(strlen(out) == (size_t)n && strpbrk(out, "\r\n") == NULL);
    expect(&have, "", cookie.name);
    expect(&have, "=", cookie.value);
    if (cookie.path.len > 0)
        expect(&have, "; Path=", cookie.path);
    if (cookie.domain.len > 0)
        expect(&have, "; Domain=", cookie.domain);
    expect(&have, cookie.max_age_s != 0 ? "; Max-Age=0" : "", none);
    expect(&have, cookie.expires != 0 ? "; Expires=Thu, 01 Jan 1970 00:00:01 GMT" : "", none);
    expect(&have, cookie.secure ? "; Secure" : "", none);
    expect(&have, cookie.http_only ? "; HttpOnly" : "", none);
    expect(&have, same_sites[cookie.same_site], none);
    expect(&have, cookie.partitioned ? "; Partitioned" : "", none);
    FUZZ_CHECK(have.len == 0);
    /* As many attributes as were said. */
    struct nhttp_cookies cookies;
    struct nhttp_cookie back;
    nhttp_cookies_begin(&cookies, (struct nhttp_text){out, (size_t)n}, 0);
    FUZZ_CHECK(nhttp_cookies_next(&cookies, &back) == 0);
    FUZZ_CHECK(nhttp_text_equals(back.name, cookie.name));
    FUZZ_CHECK(nhttp_text_equals(back.value, cookie.value));
    free(out);
}

static void check_list(struct nhttp_text text)
{
    struct nhttp_text list = text;
    struct nhttp_text element;
    while (nhttp_list_next(&list, &element)) {
        FUZZ_CHECK(element.len > 0 && is_within(element, text));
        FUZZ_CHECK(strchr(" \t", element.data[0]) == NULL || element.data[0] == '\0');
        FUZZ_CHECK(nhttp_list_has(text, element));
    }
    FUZZ_CHECK(list.len == 0);
}

static void check_date(struct nhttp_text text)
{
    char out[NHTTP_DATE_BYTES];
    time_t time = 0;
    time_t again = 0;
    int status = nhttp_date_parse(text, 784111777, &time);
    FUZZ_CHECK(status == 0 || status == -EBADMSG);
    if (status != 0)
        return;
    nhttp_date_format(time, out);
    FUZZ_CHECK(nhttp_date_parse((struct nhttp_text){out, sizeof out}, 0, &again) == 0);
    FUZZ_CHECK(again == time);
}

/* NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, size};
    uint8_t what = fuzz_byte(&in);
    uint8_t choice = fuzz_byte(&in);
    char *copy = copy_of((struct nhttp_text){(const char *)in.at, in.left});
    struct nhttp_text text = {copy, in.left};

    fuzz_count();
    switch (what % 8) {
    case 0:
        check_decoding(text, (choice & 1) != 0);
        break;
    case 1:
        check_encoding(text, (choice & 1) != 0, choice >> 1);
        break;
    case 2:
        check_path(text);
        break;
    case 3:
        check_args(text, choice % 16);
        break;
    case 4:
        check_cookies(text, choice % 16);
        break;
    case 5:
        check_set(text, choice, fuzz_byte(&in));
        break;
    case 6:
        check_list(text);
        break;
    default:
        check_date(text);
        break;
    }
    free(copy);
    return 0;
}
