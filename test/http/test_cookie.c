#include <nhttp/cookie.h>

#include "words.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The cookies as "[name|value]", then how it ended. */
static const char *told(const char *field, size_t limit)
{
    static char out[256];
    struct nhttp_cookies cookies;
    struct nhttp_cookie cookie;
    int at = 0;
    int status;
    nhttp_cookies_begin(&cookies, nhttp_text_of(field), limit);
    while ((status = nhttp_cookies_next(&cookies, &cookie)) == 0)
        at += snprintf(out + at, sizeof out - (size_t)at, "[%.*s|%.*s]", (int)cookie.name.len,
                       cookie.name.data, (int)cookie.value.len, cookie.value.data);
    cr_assert_eq(nhttp_cookies_next(&cookies, &cookie), status, "an end is final");
    (void)snprintf(out + at, sizeof out - (size_t)at, "%s",
                   status == -ENOENT  ? ""
                   : status == -E2BIG ? "more"
                                      : "?");
    return out;
}

Test(cookie, fields_are_taken_apart)
{
    cr_assert_str_eq(told("a=1; b=2", 0), "[a|1][b|2]");
    cr_assert_str_eq(told("a=1;b=2", 0), "[a|1][b|2]");
    cr_assert_str_eq(told("", 0), "");
    cr_assert_str_eq(told(NULL, 0), "");
    cr_assert_str_eq(told(" \t a \t=\t 1  ;;; b = ;", 0), "[a|1][b|]");
    cr_assert_str_eq(told("a=b=c==", 0), "[a|b=c==]");
    cr_assert_str_eq(told("a=\"1 2,3\"; b=x y", 0), "[a|\"1 2,3\"][b|x y]");
    cr_assert_str_eq(told("a=\"1;b=2\"", 0), "[a|\"1][b|2\"]");
    cr_assert_str_eq(told("a=%41+", 0), "[a|%41+]");
    cr_assert_str_eq(told("nameless; =x; == ; a=1", 0), "[a|1]");
    cr_assert_str_eq(told("a=\xc3\xa9; b[c]=\x01", 0), "[a|\xc3\xa9][b[c]|\x01]");
    cr_assert_str_eq(told("a=1, b=2", 0), "[a|1, b=2]");
}

Test(cookie, fields_are_limited)
{
    cr_assert_str_eq(told("a=1; b=2", 1), "[a|1]more");
    cr_assert_str_eq(told("a=1; b=2", 2), "[a|1][b|2]");
    cr_assert_str_eq(told("a=1; nameless;; =2;", 1), "[a|1]");
    struct nhttp_cookies cookies;
    struct nhttp_cookie cookie;
    char many[3 * (NHTTP_COOKIES_DEFAULT + 1)];
    for (size_t i = 0; i < sizeof many; i++)
        many[i] = "a=;"[i % 3];
    nhttp_cookies_begin(&cookies, (struct nhttp_text){many, sizeof many}, 0);
    for (size_t i = 0; i < NHTTP_COOKIES_DEFAULT; i++)
        cr_assert_eq(nhttp_cookies_next(&cookies, &cookie), 0);
    cr_assert_eq(nhttp_cookies_next(&cookies, &cookie), -E2BIG);
}

Test(cookie, the_first_of_a_name_is_found)
{
    struct nhttp_text field = NHTTP_TEXT("a=1; b=2; a=3; B=4");
    struct nhttp_text value = {0};
    cr_assert_eq(nhttp_cookies_find(field, NHTTP_TEXT("a"), 0, &value), 0);
    cr_assert(is_text(value, "1"));
    cr_assert_eq(nhttp_cookies_find(field, NHTTP_TEXT("B"), 0, &value), 0);
    cr_assert(is_text(value, "4"));
    cr_assert_eq(nhttp_cookies_find(field, NHTTP_TEXT("A"), 0, &value), -ENOENT);
    cr_assert_eq(nhttp_cookies_find(field, NHTTP_TEXT(""), 0, &value), -ENOENT);
    cr_assert_eq(nhttp_cookies_find(field, NHTTP_TEXT("B"), 3, &value), -E2BIG);
    cr_assert(is_text(value, "4"));
}

/* Into every size of memory, too. want NULL: refused. */
static void check_set(struct nhttp_set_cookie cookie, const char *want, int line)
{
    char big[512];
    ssize_t got = nhttp_set_cookie_format(&cookie, big, sizeof big);
    if (want == NULL) {
        cr_assert_eq(got, -EINVAL, "line %d: %s", line, got >= 0 ? big : "");
        cr_assert_str_eq(big, "");
        return;
    }
    cr_assert_eq(got, (ssize_t)strlen(want), "line %d: %zd", line, got);
    cr_assert_str_eq(big, want, "line %d: %s", line, big);
    for (size_t size = 0; size <= strlen(want); size++) {
        char *out = exact(size);
        cr_assert_eq(nhttp_set_cookie_format(&cookie, out, size), -ENOSPC);
        cr_assert(size == 0 || out[0] == '\0');
        free(out);
    }
}

#define SET(want, ...)                                                                             \
    check_set(                                                                                     \
        (struct nhttp_set_cookie){.name = NHTTP_TEXT("a"), .value = NHTTP_TEXT("1"), __VA_ARGS__}, \
        want, __LINE__)
#define SET_VALUE(want, literal)                                                                \
    check_set((struct nhttp_set_cookie){.name = NHTTP_TEXT("a"), .value = NHTTP_TEXT(literal)}, \
              want, __LINE__)
#define SET_NAME(want, literal, ...) \
    check_set((struct nhttp_set_cookie){.name = NHTTP_TEXT(literal), __VA_ARGS__}, want, __LINE__)

Test(cookie, what_is_set)
{
    SET("a=1", .secure = false);
    SET_NAME("a=", "a", .secure = false);
    SET("a=1; Path=/b", .path = NHTTP_TEXT("/b"));
    SET("a=1; Domain=example.com", .domain = NHTTP_TEXT("example.com"));
    SET("a=1; Max-Age=60", .max_age_s = 60);
    SET("a=1; Max-Age=9223372036854775807", .max_age_s = INT64_MAX);
    SET("a=1; Max-Age=0", .max_age_s = NHTTP_COOKIE_EXPIRED);
    SET("a=1; Expires=Sun, 06 Nov 1994 08:49:37 GMT", .expires = 784111777);
    SET("a=1; Expires=Wed, 31 Dec 1969 23:59:59 GMT", .expires = -1);
    SET("a=1; Expires=Fri, 31 Dec 9999 23:59:59 GMT", .expires = 253402300799);
    SET("a=1; Secure", .secure = true);
    SET("a=1; HttpOnly", .http_only = true);
    SET("a=1; SameSite=Lax", .same_site = NHTTP_SAME_SITE_LAX);
    SET("a=1; SameSite=Strict", .same_site = NHTTP_SAME_SITE_STRICT);
    SET("a=1; Secure; SameSite=None", .same_site = NHTTP_SAME_SITE_NONE, .secure = true);
    SET("a=1; Secure; Partitioned", .partitioned = true, .secure = true);
    SET("a=1; Path=/; Domain=a-1.b; Max-Age=1; Expires=Thu, 01 Jan 1970 00:00:01 GMT; Secure; "
        "HttpOnly; SameSite=None; Partitioned",
        .path = NHTTP_TEXT("/"), .domain = NHTTP_TEXT("a-1.b"), .max_age_s = 1, .expires = 1,
        .secure = true, .http_only = true, .same_site = NHTTP_SAME_SITE_NONE, .partitioned = true);
}

/* Of every byte, alone and within. */
Test(cookie, which_bytes_may_be_where)
{
    for (int i = 0; i < 256; i++) {
        char text[4] = {'x', (char)i, 'y', '\0'};
        char path[4] = {'/', (char)i, 'y', '\0'};
        char out[64];
        bool is_visible = i > ' ' && i < 0x7f && i != ';';
        bool is_word = (i >= '0' && i <= '9') || ((i | 0x20) >= 'a' && (i | 0x20) <= 'z');
        bool is_token = is_word || (i != 0 && strchr("!#$%&'*+-.^_`|~", i) != NULL);
        bool is_octet = is_visible && i != '"' && i != ',' && i != '\\';
        struct nhttp_set_cookie name = {.name = {text, 3}};
        struct nhttp_set_cookie value = {.name = NHTTP_TEXT("a"), .value = {text, 3}};
        struct nhttp_set_cookie alone = {.name = NHTTP_TEXT("a"), .value = {text + 1, 1}};
        struct nhttp_set_cookie at = {.name = NHTTP_TEXT("a"), .path = {path, 3}};
        struct nhttp_set_cookie domain = {.name = NHTTP_TEXT("a"), .domain = {text, 3}};
        cr_assert_eq(nhttp_set_cookie_format(&name, out, sizeof out) > 0, is_token, "%d", i);
        cr_assert_eq(nhttp_set_cookie_format(&value, out, sizeof out) > 0, is_octet, "%d", i);
        cr_assert_eq(nhttp_set_cookie_format(&alone, out, sizeof out) > 0, is_octet, "%d", i);
        cr_assert_eq(nhttp_set_cookie_format(&at, out, sizeof out) > 0, is_visible, "%d", i);
        cr_assert_eq(nhttp_set_cookie_format(&domain, out, sizeof out) > 0,
                     is_word || i == '-' || i == '.', "%d", i);
    }
}

Test(cookie, what_cannot_be_set)
{
    static char long_text[5000];
    memset(long_text, 'x', sizeof long_text);
    SET_NAME(NULL, "", .secure = false);
    SET_NAME(NULL, "a\r\nSet-Cookie: b", .secure = false);
    SET_VALUE("a=\"1\"", "\"1\"");
    SET_VALUE("a=\"\"", "\"\"");
    SET_VALUE(NULL, "\"");
    SET_VALUE(NULL, "\"1");
    SET_VALUE(NULL, "1\"");
    SET_VALUE(NULL, "1\"2\"3");
    SET_VALUE(NULL, "1; Domain=evil.example");
    SET_VALUE(NULL, "1\r\nX: y");
    SET_VALUE(NULL, "1\0");
    SET_VALUE(NULL, " 1");
    SET(NULL, .path = NHTTP_TEXT("b"));
    SET(NULL, .path = NHTTP_TEXT("/b; Secure"));
    SET(NULL, .path = NHTTP_TEXT("/b\n"));
    SET(NULL, .domain = NHTTP_TEXT(".a.b"));
    SET(NULL, .domain = NHTTP_TEXT("a..b"));
    SET(NULL, .domain = NHTTP_TEXT("a."));
    SET(NULL, .domain = NHTTP_TEXT("-a.b"));
    SET(NULL, .domain = NHTTP_TEXT("a-.b"));
    SET(NULL, .domain = NHTTP_TEXT("."));
    SET(NULL, .domain = NHTTP_TEXT("a:80"));
    SET(NULL, .domain = {long_text, 254});
    SET(NULL, .max_age_s = -2);
    SET(NULL, .max_age_s = INT64_MIN);
    SET(NULL, .expires = 253402300800);
    SET(NULL, .expires = -11644473601);
    SET(NULL, .same_site = (enum nhttp_same_site)4);
    SET(NULL, .same_site = NHTTP_SAME_SITE_NONE);
    SET(NULL, .partitioned = true);
}

Test(cookie, prefixes_of_names)
{
    const struct nhttp_text root = NHTTP_TEXT("/");
    SET_NAME(NULL, "__Secure-a", .secure = false);
    SET_NAME(NULL, "__secure-a", .secure = false);
    SET_NAME(NULL, "__Secure-", .secure = false);
    SET_NAME(NULL, "__Host-", .secure = true);
    SET_NAME("__Secure-a=; Secure", "__Secure-a", .secure = true);
    SET_NAME(NULL, "__Host-a", .path = root);
    SET_NAME(NULL, "__Host-a", .secure = true);
    SET_NAME(NULL, "__HOST-a", .secure = true, .path = NHTTP_TEXT("/b"));
    SET_NAME(NULL, "__Host-a", .secure = true, .path = root, .domain = NHTTP_TEXT("a.b"));
    SET_NAME("__Host-a=; Path=/; Secure", "__Host-a", .secure = true, .path = root);
    SET_NAME("__Hos=", "__Hos", .secure = false);
}

Test(cookie, size)
{
    static char text[NHTTP_COOKIE_BYTES_MAX + 1];
    static char out[2 * sizeof text];
    memset(text, 'x', sizeof text);
    for (size_t name = 1; name <= sizeof text; name += 819) {
        size_t value = NHTTP_COOKIE_BYTES_MAX + 1 - name;
        struct nhttp_set_cookie cookie = {.name = {text, name}, .value = {text, value}};
        cr_assert_eq(nhttp_set_cookie_format(&cookie, out, sizeof out), -EINVAL);
        if (value == 0)
            continue;
        cookie.value.len--;
        cr_assert_eq(nhttp_set_cookie_format(&cookie, out, sizeof out),
                     (ssize_t)NHTTP_COOKIE_BYTES_MAX + 1);
    }
}

/* The longest there is has room, and fills what is not spare. */
Test(cookie, room_that_is_always_enough)
{
    static char text[NHTTP_COOKIE_BYTES_MAX];
    static char path[NHTTP_COOKIE_PATH_BYTES_MAX + 1];
    char domain[253];
    char out[NHTTP_SET_COOKIE_BYTES_MAX];
    memset(text, 'x', sizeof text);
    memset(path, '/', sizeof path);
    memset(domain, 'x', sizeof domain);
    struct nhttp_set_cookie cookie = {
        .name = {text, 1},
        .value = {text, sizeof text - 1},
        .path = {path, sizeof path - 1},
        .domain = {domain, sizeof domain},
        .max_age_s = INT64_MAX,
        .expires = 1,
        .same_site = NHTTP_SAME_SITE_STRICT,
        .secure = true,
        .http_only = true,
        .partitioned = true,
    };
    cr_assert_gt(nhttp_set_cookie_format(&cookie, out, sizeof out), (ssize_t)sizeof out - 256);
    cookie.path.len++;
    cr_assert_eq(nhttp_set_cookie_format(&cookie, out, sizeof out), -EINVAL);
}

/* What a client sends back of a cookie that was set is that cookie. */
Test(cookie, comes_back_as_it_was_set)
{
    struct random random = {4};
    size_t set = 0;
    for (int round = 0; round < 100000; round++) {
        char name[9];
        char value[9];
        char out[64];
        size_t name_len = below(&random, sizeof name);
        size_t value_len = below(&random, sizeof value);
        for (size_t i = 0; i < name_len; i++)
            name[i] = (char)('!' + below(&random, 94));
        for (size_t i = 0; i < value_len; i++)
            value[i] = (char)('!' + below(&random, 94));
        struct nhttp_set_cookie cookie = {.name = {name, name_len}, .value = {value, value_len}};
        struct nhttp_cookies cookies;
        struct nhttp_cookie back;
        ssize_t n = nhttp_set_cookie_format(&cookie, out, sizeof out);
        if (n < 0)
            continue;
        set++;
        nhttp_cookies_begin(&cookies, (struct nhttp_text){out, (size_t)n}, 0);
        cr_assert_eq(nhttp_cookies_next(&cookies, &back), 0);
        cr_assert(nhttp_text_equals(back.name, cookie.name));
        cr_assert(nhttp_text_equals(back.value, cookie.value));
        cr_assert_eq(nhttp_cookies_next(&cookies, &back), -ENOENT);
    }
    cr_assert_gt(set, 1000);
}
