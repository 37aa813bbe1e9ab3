#include <nhttp/path.h>

#include <nhttp/escape.h>

#include "words.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *path;
    const char *decoded; /* NULL: refused */
} decoded[] = {
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
    {"//a", "//a"},
    {"/a//../b", "/a/b"},
    {"/a/..//b", "//b"},
    {"/a/%2e%2e/b", "/b"},
    {"/a/.%2E/b", "/b"},
    {"/a%2fb%2F..", "/a/"},
    {"/%2fa", "//a"},
    {"/%252e%252e/a", "/%2e%2e/a"}, /* once */
    {"/%2561", "/%61"},
    {"/%2561dmin", "/%61dmin"},
    {"/%c0%ae%c0%ae/a", "/\xc0\xae\xc0\xae/a"}, /* no dots */
    {"/a.b/c.d/.e/f.", "/a.b/c.d/.e/f."},
    {"/a;b=c/..;d", "/a;b=c/..;d"},
    {"/..", NULL},
    {"/../", NULL},
    {"/a/../../b", NULL},
    {"/./..", NULL},
    {"/%2e%2e/etc", NULL},
    {"/a/%2e%2e%2f%2e%2e/etc", NULL},
    {"/%", NULL},
    {"/%4", NULL},
    {"/%zz", NULL},
    {"/%4g", NULL},
    {"/a%00b", NULL},
    {"/a%0d%0aX: y", NULL},
    {"/%0a", NULL},
    {"/a\nb", NULL},
    {"a", NULL},
    {"%2fa", NULL},
    {"../a", NULL},
    {"*", NULL},
};

Test(path, decoded_once_then_without_dot_segments)
{
    for (size_t i = 0; i < sizeof decoded / sizeof decoded[0]; i++) {
        size_t n = strlen(decoded[i].path);
        char *path = exact(n);
        char *out = exact(n);
        memcpy(path, decoded[i].path, n);
        ssize_t got = nhttp_path_decode(path, n, out);
        ssize_t in_place = nhttp_path_decode(path, n, path);
        cr_assert_eq(got, in_place, "%s", decoded[i].path);
        if (decoded[i].decoded == NULL) {
            cr_assert_eq(got, -EBADMSG, "%s: %zd", decoded[i].path, got);
        } else {
            cr_assert_eq(got, (ssize_t)strlen(decoded[i].decoded), "%s: %zd", decoded[i].path, got);
            cr_assert_arr_eq(out, decoded[i].decoded, (size_t)got);
            cr_assert_arr_eq(path, decoded[i].decoded, (size_t)got);
        }
        free(path);
        free(out);
    }
}

static void check_normal(const char *path, unsigned flags, const char *want)
{
    size_t n = strlen(path);
    char *out = exact(n);
    ssize_t got = nhttp_path_normalize(path, n, flags, out);
    if (want == NULL) {
        cr_assert_eq(got, -EBADMSG, "%s", path);
    } else {
        cr_assert_eq(got, (ssize_t)strlen(want), "%s: %.*s", path, got > 0 ? (int)got : 0, out);
        cr_assert_arr_eq(out, want, (size_t)got, "%s", path);
    }
    free(out);
}

Test(path, slashes_are_merged_on_demand)
{
    const unsigned merge = NHTTP_PATH_MERGE_SLASHES;
    check_normal("", merge, "");
    check_normal("/", merge, "/");
    check_normal("//", merge, "/");
    check_normal("//", 0, "//");
    check_normal("///a", merge, "/a");
    check_normal("/a//b///", merge, "/a/b/");
    check_normal("/a//b///", 0, "/a//b///");
    check_normal("/a//../b", merge, "/b");
    check_normal("/a//../b", 0, "/a/b");
    check_normal("/a/..//b", merge, "/b");
    check_normal("/a/b//..", merge, "/a/");
    check_normal("//..", merge, NULL);
    check_normal("//..", 0, "/");
    check_normal("/.//./a", merge, "/a");
    check_normal("/a//.", merge, "/a/");
}

Test(path, escaped_dots_count_in_a_path_that_is_not_decoded)
{
    const unsigned escaped = NHTTP_PATH_ESCAPED;
    check_normal("/a/%2e%2E/b", escaped, "/b");
    check_normal("/a/%2e%2E/b", 0, "/a/%2e%2E/b");
    check_normal("/a/%2e./b/%2e", escaped, "/b/");
    check_normal("/.%2e", escaped, NULL);
    check_normal("/a%2f../b", escaped, "/a%2f../b");
    check_normal("/a%2fb/../c%2Fd", escaped, "/c%2Fd");
    check_normal("/%2e%2e%2e/%2ea/%2", escaped, "/%2e%2e%2e/%2ea/%2");
    check_normal("/%252e%252e", escaped, "/%252e%252e");
    check_normal("/a//%2e%2e/b", escaped | NHTTP_PATH_MERGE_SLASHES, "/b");
}

Test(path, refusals_of_normalize)
{
    char out[8];
    check_normal("a/b", 0, NULL);
    check_normal("/a/b/../../..", 0, NULL);
    check_normal("/../a", 0, NULL);
    cr_assert_eq(nhttp_path_normalize("/", 1, 4, out), -EINVAL);
    cr_assert_eq(nhttp_path_normalize("", 0, 1U << 31, out), -EINVAL);
}

/* Segments of a path, the last one too, that are dots. */
static bool has_dots(const char *path, size_t n)
{
    for (size_t at = 0; at < n;) {
        const char *next = memchr(path + at + 1, '/', n - at - 1);
        size_t end = next != NULL ? (size_t)(next - path) : n;
        size_t len = end - at - 1;
        if ((len == 1 || len == 2) && memcmp(path + at + 1, "..", len) == 0)
            return true;
        at = end;
    }
    return false;
}

static void check_properties(const char *path, size_t n, unsigned flags)
{
    char once[128];
    char twice[128];
    ssize_t first = nhttp_path_normalize(path, n, flags, once);
    if (first < 0) {
        cr_assert_eq(first, -EBADMSG);
        return;
    }
    cr_assert_eq(nhttp_path_normalize(once, (size_t)first, flags, twice), first);
    cr_assert_arr_eq(once, twice, (size_t)first);
    cr_assert_leq(first, (ssize_t)n);
    cr_assert_eq(first > 0, n > 0);
    cr_assert(first == 0 || once[0] == '/');
    cr_assert_not(has_dots(once, (size_t)first));
    if ((flags & NHTTP_PATH_MERGE_SLASHES) != 0)
        cr_assert_null(memmem(once, (size_t)first, "//", 2));
    /* Decoded, there are none either. */
    if ((flags & NHTTP_PATH_ESCAPED) != 0) {
        for (ssize_t at = 0; at < first;) {
            char *next = memchr(once + at + 1, '/', (size_t)(first - at - 1));
            ssize_t end = next != NULL ? next - once : first;
            struct nhttp_text segment = {once + at + 1, (size_t)(end - at - 1)};
            ssize_t len = nhttp_unescape_path(segment, twice);
            cr_assert_not((len == 1 || len == 2) && memcmp(twice, "..", (size_t)len) == 0);
            at = end;
        }
    }
}

Test(path, normalizing_is_idempotent_and_leaves_no_dots)
{
    static const char *const pieces[] = {"/", "/",   "/..", "/.",  "..",  ".",
                                         "a", "%2e", "%2f", "%2E", "/%2e"};
    struct random random = {2};
    size_t accepted = 0;
    for (int round = 0; round < 300000; round++) {
        char path[128] = "/";
        char out[128];
        size_t n = 1 + random_text(&random, pieces, sizeof pieces / sizeof pieces[0], 12, path + 1);
        for (unsigned flags = 0; flags < 4; flags++)
            check_properties(path, n, flags);
        ssize_t got = nhttp_path_decode(path, n, out);
        if (got < 0)
            continue;
        accepted++;
        cr_assert_not(has_dots(out, (size_t)got));
        check_properties(out, (size_t)got, 0);
    }
    cr_assert_gt(accepted, 10000);
}
