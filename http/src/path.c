/* Paths: decoded once, then without dot segments. */
#include <nhttp/path.h>

#include <nhttp/escape.h>

#include "octets.h"

#include <errno.h>

/* Takes a dot off the front. */
static bool take_dot(struct nhttp_text *segment, bool is_escaped)
{
    size_t n = 0;
    if (segment->len > 0 && segment->data[0] == '.')
        n = 1;
    else if (is_escaped && segment->len >= 3 && segment->data[0] == '%' &&
             hs_escaped(segment->data, segment->len) == '.')
        n = 3;
    (void)hs_take(segment, n);
    return n > 0;
}

/* 1: this directory; 2: the one above; 0: a name. */
static unsigned dots(struct nhttp_text segment, bool is_escaped)
{
    unsigned count = 0;
    while (count < 2 && take_dot(&segment, is_escaped))
        count++;
    return segment.len == 0 ? count : 0;
}

/* Where the segment that ends at `to` begins. */
static size_t step_up(const char *path, size_t to)
{
    while (path[--to] != '/')
        ;
    return to;
}

/* The path begins with a slash. */
static ssize_t remove_dots(struct nhttp_text path, unsigned flags, char *out)
{
    bool merges = (flags & NHTTP_PATH_MERGE_SLASHES) != 0;
    size_t to = 0;
    for (bool is_last = false; !is_last;) {
        /* A slash, and what is in front of the next one. */
        const char *next = path.len > 1 ? memchr(path.data + 1, '/', path.len - 1) : NULL;
        is_last = next == NULL;
        struct nhttp_text segment = hs_take(&path, is_last ? path.len : (size_t)(next - path.data));
        unsigned up = dots((struct nhttp_text){segment.data + 1, segment.len - 1},
                           (flags & NHTTP_PATH_ESCAPED) != 0);
        if (up == 0 && merges && segment.len == 1 && !is_last)
            continue;
        if (up == 0) {
            if (out + to != segment.data)
                memmove(out + to, segment.data, segment.len);
            to += segment.len;
            continue;
        }
        if (up == 2 && to == 0)
            return -EBADMSG;
        if (up == 2)
            to = step_up(out, to);
        /* What it names is a directory. */
        if (is_last)
            out[to++] = '/';
    }
    return (ssize_t)to;
}

ssize_t nhttp_path_normalize(const char *path, size_t n, unsigned flags, char *out)
{
    if ((flags & ~(unsigned)(NHTTP_PATH_MERGE_SLASHES | NHTTP_PATH_ESCAPED)) != 0)
        return -EINVAL;
    if (n == 0)
        return 0;
    return path[0] == '/' ? remove_dots((struct nhttp_text){path, n}, flags, out) : -EBADMSG;
}

/* Most paths have nothing to decode and no segment that begins with a dot. */
static bool is_plain(const char *path, size_t n)
{
    size_t at = 0;
    for (;;) {
        while (n - at >= sizeof(uint64_t)) {
            uint64_t word = hs_word(path + at);
            if (hs_has_below(word, ' ') || hs_has(word, '%') || hs_has(word, '.'))
                break;
            at += sizeof word;
        }
        while (at < n && path[at] != '.' && path[at] != '%' && (unsigned char)path[at] >= ' ')
            at++;
        if (at == n)
            return true;
        if (path[at] != '.' || path[at - 1] == '/')
            return false;
        at++;
    }
}

ssize_t nhttp_path_decode(const char *path, size_t n, char *out)
{
    if (n == 0)
        return 0;
    if (path[0] != '/')
        return -EBADMSG;
    if (is_plain(path, n)) {
        if (out != path)
            memmove(out, path, n);
        return (ssize_t)n;
    }
    ssize_t decoded = nhttp_unescape_path((struct nhttp_text){path, n}, out);
    if (decoded < 0 || memmem(out, (size_t)decoded, "/.", 2) == NULL)
        return decoded;
    return remove_dots((struct nhttp_text){out, (size_t)decoded}, 0, out);
}
