/* Bytes of text, whatever the locale says. Any thread. */
#ifndef HS_OCTETS_H
#define HS_OCTETS_H

#include <nhttp/text.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline char hs_lower(char byte)
{
    return (char)(byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte);
}

static inline bool hs_is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

static inline bool hs_is_alphanumeric(char byte)
{
    char lower = hs_lower(byte);
    return hs_is_digit(byte) || (lower >= 'a' && lower <= 'z');
}

static inline bool hs_is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

static inline int hs_hex(char byte)
{
    char lower = hs_lower(byte);
    if (hs_is_digit(byte))
        return byte - '0';
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* The byte that an escape stands for; at: the percent sign, left: bytes from there on. -1: this is
 * no escape. */
static inline int hs_escaped(const char *at, size_t left)
{
    int high = left >= 3 ? hs_hex(at[1]) : -1;
    int low = high >= 0 ? hs_hex(at[2]) : -1;
    return low >= 0 ? high * 16 + low : -1;
}

/* In any case. strcasecmp() would ask the locale: in Turkish, I is not the capital of i. */
static inline bool hs_is(const char *text, size_t n, const char *word)
{
    return nhttp_text_equals_nocase((struct nhttp_text){text, n}, nhttp_text_of(word));
}

static inline bool hs_begins_with(struct nhttp_text text, const char *prefix)
{
    size_t n = strlen(prefix);
    return text.len >= n && hs_is(text.data, n, prefix);
}

/* Takes n bytes off the front. */
static inline struct nhttp_text hs_take(struct nhttp_text *text, size_t n)
{
    struct nhttp_text taken = {.data = text->data, .len = n};
    /* Nothing may be added to NULL, not even nothing. */
    if (n > 0)
        text->data += n;
    text->len -= n;
    return taken;
}

/*
 * Takes a byte of a name or value of a query off the front, decoded; there is one. A plus sign is a
 * space, a percent sign that begins no escape is itself.
 */
static inline char hs_take_query_byte(struct nhttp_text *text)
{
    char byte = text->data[0];
    int escaped = byte == '%' ? hs_escaped(text->data, text->len) : -1;
    (void)hs_take(text, escaped >= 0 ? 3 : 1);
    if (escaped >= 0)
        return (char)escaped;
    return (char)(byte == '+' ? ' ' : byte);
}

/* Takes what is in front of the next separator, and the separator. */
static inline struct nhttp_text hs_take_until(struct nhttp_text *text, char separator)
{
    const char *found = text->len > 0 ? memchr(text->data, separator, text->len) : NULL;
    if (found == NULL)
        return hs_take(text, text->len);
    struct nhttp_text taken = hs_take(text, (size_t)(found - text->data));
    (void)hs_take(text, 1);
    return taken;
}

/* Without spaces and tabs around it. */
static inline struct nhttp_text hs_trim(struct nhttp_text text)
{
    while (text.len > 0 && hs_is_blank(text.data[0]))
        (void)hs_take(&text, 1);
    while (text.len > 0 && hs_is_blank(text.data[text.len - 1]))
        text.len--;
    return text;
}

/*
 * Eight bytes at a time: whether any of a word is below a bound (at most 128), or is a byte. The
 * answer is exact for the word, though not for which of its bytes.
 */
#define HS_ONES  UINT64_C(0x0101010101010101)
#define HS_HIGHS UINT64_C(0x8080808080808080)

static inline uint64_t hs_word(const char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

static inline bool hs_has_below(uint64_t word, uint8_t bound)
{
    return ((word - HS_ONES * bound) & ~word & HS_HIGHS) != 0;
}

static inline bool hs_has(uint64_t word, char byte)
{
    return hs_has_below(word ^ (HS_ONES * (uint8_t)byte), 1);
}

#endif
