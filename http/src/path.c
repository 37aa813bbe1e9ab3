/* Paths: decoded once, then without dot segments. */
#include <nhttp/path.h>

#include <errno.h>
#include <stdbool.h>
#include <string.h>

static int digit(char byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    byte = (char)(byte | 0x20);
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* Decoded bytes; -EBADMSG. */
static ssize_t decode(const char *path, size_t n, char *out)
{
    size_t to = 0;
    for (size_t at = 0; at < n; at++, to++) {
        if (path[at] != '%') {
            out[to] = path[at];
            continue;
        }
        if (n - at < 3)
            return -EBADMSG;
        int high = digit(path[at + 1]);
        int low = digit(path[at + 2]);
        if (high < 0 || low < 0)
            return -EBADMSG;
        char byte = (char)(high * 16 + low);
        if (byte == '\0' || byte == '\r' || byte == '\n')
            return -EBADMSG;
        out[to] = byte;
        at += 2;
    }
    return (ssize_t)to;
}

static bool is_dots(const char *segment, size_t n, size_t dots)
{
    return n == dots && memcmp(segment, "..", dots) == 0;
}

/* Bytes left; -EBADMSG. */
static ssize_t remove_dots(char *path, size_t n)
{
    size_t to = 0;
    for (size_t at = 0; at < n;) {
        /* A slash and what follows up to the next one. */
        const char *segment = path + at + 1;
        const char *next = memchr(segment, '/', n - at - 1);
        size_t len = next != NULL ? (size_t)(next - segment) : n - at - 1;
        bool is_up = is_dots(segment, len, 2);
        at += 1 + len;
        if (!is_up && !is_dots(segment, len, 1)) {
            memmove(path + to, segment - 1, len + 1);
            to += len + 1;
            continue;
        }
        if (is_up && to == 0)
            return -EBADMSG;
        while (is_up && path[--to] != '/')
            ;
        /* What it named was a directory. */
        if (next == NULL)
            path[to++] = '/';
    }
    return (ssize_t)to;
}

/* Most paths have nothing of all that. */
static bool is_plain(const char *path, size_t n)
{
    if (memchr(path, '%', n) != NULL)
        return false;
    for (const char *at = path; (at = memchr(at, '.', n - (size_t)(at - path))) != NULL; at++) {
        if (at > path && at[-1] == '/')
            return false;
    }
    return true;
}

ssize_t nhttp_path_decode(const char *path, size_t n, char *out)
{
    if (n == 0 || is_plain(path, n)) {
        if (n > 0 && out != path)
            memmove(out, path, n);
        return (ssize_t)n;
    }
    ssize_t decoded = decode(path, n, out);
    if (decoded <= 0)
        return decoded;
    return memmem(out, (size_t)decoded, "/.", 2) != NULL ? remove_dots(out, (size_t)decoded)
                                                         : decoded;
}
