/* Percent-escapes. What needs no decoding is copied in runs. */
#include <nhttp/escape.h>

#include "octets.h"

#include <errno.h>

/*
 * Copies what is in front of the next byte that may stand for something else: the percent sign, the
 * mark, a control byte. out may be where the text is, or before: what is written then has been
 * read.
 */
static size_t take_run(struct nhttp_text *text, char mark, char *out)
{
    const char *from = text->data;
    size_t n = text->len;
    size_t at = 0;
    while (n - at >= sizeof(uint64_t)) {
        uint64_t word = hs_word(from + at);
        if (hs_has_below(word, ' ') || hs_has(word, '%') || hs_has(word, mark))
            break;
        memcpy(out + at, &word, sizeof word);
        at += sizeof word;
    }
    for (; at < n && from[at] != '%' && from[at] != mark && (unsigned char)from[at] >= ' '; at++)
        out[at] = from[at];
    (void)hs_take(text, at);
    return at;
}

ssize_t nhttp_unescape_path(struct nhttp_text text, char *out)
{
    size_t to = 0;
    while (text.len > 0) {
        to += take_run(&text, '%', out + to);
        if (text.len == 0)
            break;
        bool is_escape = text.data[0] == '%';
        int byte = is_escape ? hs_escaped(text.data, text.len) : text.data[0];
        if (byte < 0 || byte == '\0' || byte == '\r' || byte == '\n')
            return -EBADMSG;
        out[to++] = (char)byte;
        (void)hs_take(&text, is_escape ? 3 : 1);
    }
    return (ssize_t)to;
}

ssize_t nhttp_unescape_query(struct nhttp_text text, char *out)
{
    size_t to = 0;
    while (text.len > 0) {
        to += take_run(&text, '+', out + to);
        if (text.len == 0)
            break;
        char byte = hs_take_query_byte(&text);
        if (byte == '\0')
            return -EBADMSG;
        out[to++] = byte;
    }
    return (ssize_t)to;
}

static bool is_unreserved(char byte)
{
    return hs_is_alphanumeric(byte) || byte == '-' || byte == '.' || byte == '_' || byte == '~';
}

/* space: what a space becomes; 0: an escape. */
static ssize_t escape(struct nhttp_text text, char space, char *out, size_t size)
{
    static const char digits[16] = "0123456789ABCDEF";
    size_t to = 0;
    for (size_t at = 0; at < text.len; at++) {
        unsigned char byte = (unsigned char)text.data[at];
        bool is_one = is_unreserved((char)byte) || (byte == ' ' && space != '\0');
        size_t n = is_one ? 1 : 3;
        if (size - to < n)
            return -ENOSPC;
        if (is_one) {
            out[to] = (char)(byte == ' ' ? space : byte);
        } else {
            out[to] = '%';
            out[to + 1] = digits[byte >> 4];
            out[to + 2] = digits[byte & 15];
        }
        to += n;
    }
    return (ssize_t)to;
}

static bool has(struct nhttp_text text, char byte)
{
    return text.len > 0 && memchr(text.data, byte, text.len) != NULL;
}

ssize_t nhttp_escape_segment(struct nhttp_text text, char *out, size_t size)
{
    if (has(text, '\0') || has(text, '\r') || has(text, '\n') ||
        nhttp_text_equals(text, NHTTP_TEXT(".")) || nhttp_text_equals(text, NHTTP_TEXT("..")))
        return -EINVAL;
    return escape(text, '\0', out, size);
}

ssize_t nhttp_escape_query(struct nhttp_text text, char *out, size_t size)
{
    return has(text, '\0') ? -EINVAL : escape(text, '+', out, size);
}
