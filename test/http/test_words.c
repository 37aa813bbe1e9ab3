/* Dates, paths and phrases. */
#include <nhttp/date.h>
#include <nhttp/path.h>
#include <nhttp/status.h>

#include <criterion/criterion.h>

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

Test(http_words, dates)
{
    char have[NHTTP_DATE_BYTES + 1] = "";
    char want[64];
    nhttp_date_format(784111777, have);
    cr_assert_str_eq(have, "Sun, 06 Nov 1994 08:49:37 GMT");
    /* Every day of five centuries, at changing times. */
    for (int64_t day = -100000; day < 100000; day++) {
        time_t time = (time_t)(day * 86400 + (day * 7919 % 86400 + 86400) % 86400);
        struct tm parts;
        cr_assert_not_null(gmtime_r(&time, &parts));
        cr_assert_eq(strftime(want, sizeof want, "%a, %d %b %Y %H:%M:%S GMT", &parts),
                     (size_t)NHTTP_DATE_BYTES);
        nhttp_date_format(time, have);
        cr_assert_str_eq(have, want);
    }
    nhttp_date_format((time_t)INT64_MAX, have);
    cr_assert_str_eq(have, "Fri, 31 Dec 9999 23:59:59 GMT");
    nhttp_date_format((time_t)INT64_MIN, have);
    cr_assert_str_eq(have, "Mon, 01 Jan 0001 00:00:00 GMT");
}

static const struct {
    const char *path;
    const char *decoded; /* NULL: refused */
} paths[] = {
    {"", ""},
    {"/", "/"},
    {"/a/b.c", "/a/b.c"},
    {"/a%20b", "/a b"},
    {"/%41%5a%7e", "/AZ~"},
    {"/a+b", "/a+b"},
    {"/./a/./b/.", "/a/b/"},
    {"/a/../b", "/b"},
    {"/a/b/..", "/a/"},
    {"/a/b/../..", "/"},
    {"/a/..b/.c/...", "/a/..b/.c/..."},
    {"/a//b", "/a//b"},
    {"/a/%2e%2e/b", "/b"},
    {"/a/.%2E/b", "/b"},
    {"/a%2fb%2F..", "/a/"},
    {"/%252e%252e/a", "/%2e%2e/a"}, /* once */
    {"/%2561", "/%61"},
    {"/%c0%ae%c0%ae/a", "/\xc0\xae\xc0\xae/a"}, /* no dots */
    {"/..", NULL},
    {"/a/../../b", NULL},
    {"/%2e%2e/etc", NULL},
    {"/a/%2e%2e%2f%2e%2e/etc", NULL},
    {"/%", NULL},
    {"/%4", NULL},
    {"/%zz", NULL},
    {"/%4g", NULL},
    {"/a%00b", NULL},
    {"/a%0d%0aX: y", NULL},
    {"/%0a", NULL},
};

Test(http_words, paths)
{
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        char out[64];
        size_t n = strlen(paths[i].path);
        ssize_t decoded = nhttp_path_decode(paths[i].path, n, out);
        fprintf(stderr, "%s\n", paths[i].path);
        if (paths[i].decoded == NULL) {
            cr_assert_eq(decoded, -EBADMSG);
            continue;
        }
        cr_assert_eq(decoded, (ssize_t)strlen(paths[i].decoded));
        cr_assert_eq(memcmp(out, paths[i].decoded, (size_t)decoded), 0);
        /* In place, too; and what is decoded has no dot segments left. */
        memcpy(out, paths[i].path, n);
        cr_assert_eq(nhttp_path_decode(out, n, out), decoded);
        cr_assert_eq(memcmp(out, paths[i].decoded, (size_t)decoded), 0);
    }
}

Test(http_words, phrases)
{
    cr_assert_str_eq(nhttp_status_text(100), "Continue");
    cr_assert_str_eq(nhttp_status_text(103), "Early Hints");
    cr_assert_str_eq(nhttp_status_text(200), "OK");
    cr_assert_str_eq(nhttp_status_text(226), "IM Used");
    cr_assert_str_eq(nhttp_status_text(308), "Permanent Redirect");
    cr_assert_str_eq(nhttp_status_text(418), "Unknown");
    cr_assert_str_eq(nhttp_status_text(421), "Misdirected Request");
    cr_assert_str_eq(nhttp_status_text(426), "Upgrade Required");
    cr_assert_str_eq(nhttp_status_text(431), "Request Header Fields Too Large");
    cr_assert_str_eq(nhttp_status_text(451), "Unavailable For Legal Reasons");
    cr_assert_str_eq(nhttp_status_text(511), "Network Authentication Required");
    cr_assert_str_eq(nhttp_status_text(99), "Unknown");
    cr_assert_str_eq(nhttp_status_text(600), "Unknown");
    cr_assert_str_eq(nhttp_status_text(306), "Unknown");
}
