/*
 * Classes of bytes: RFC 9110, section 5.6, and RFC 3986. Any thread.
 */
#ifndef NH_CHARACTERS_H
#define NH_CHARACTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum nh_class {
    NH_TOKEN = 1 << 0, /* tchar */
    NH_HEX = 1 << 1,   /* HEXDIG, in either case */
    NH_HOST = 1 << 2,  /* of a host's name but escapes: unreserved and sub-delims */
};

extern const uint8_t nh_classes[256];

static inline bool nh_is(uint8_t byte, enum nh_class class)
{
    return (nh_classes[byte] & class) != 0;
}

static inline bool nh_is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

/* Whether the bytes are the word, given in lower case, in any case. */
bool nh_equals(const uint8_t *data, size_t n, const char *word);

#endif
