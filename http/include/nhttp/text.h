/** A piece of text that somebody else keeps. */
#ifndef NHTTP_TEXT_H
#define NHTTP_TEXT_H

#include <stddef.h>

/** Bytes; NUL-terminated only where a call says so. */
struct nhttp_text {
    const char *data; /**< borrowed; may be NULL when len is 0 */
    size_t len;
};

#endif
