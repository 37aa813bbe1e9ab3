/**
 * A piece of text that somebody else keeps: bytes of any value, in no encoding in particular.
 *
 * Threads: any. Memory: nothing is copied or allocated. Errors: none.
 */
#ifndef NHTTP_TEXT_H
#define NHTTP_TEXT_H

#include <nhttp/export.h>

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Bytes; NUL-terminated only where a call says so. */
struct nhttp_text {
    const char *data; /**< borrowed; may be NULL when len is 0 */
    size_t len;
};

/** The text of a string literal, without its NUL: NHTTP_TEXT("/index"). */
#ifdef __cplusplus
#    define NHTTP_TEXT(literal) (nhttp_text{("" literal), sizeof(literal) - 1})
#else
#    define NHTTP_TEXT(literal) ((struct nhttp_text){("" literal), sizeof(literal) - 1})
#endif

/** The same as an initializer, for tables: {NHTTP_TEXT_INIT("/index"), index}. */
#define NHTTP_TEXT_INIT(literal)             \
    {                                        \
        ("" literal), sizeof("" literal) - 1 \
    }

/** The text of a NUL-terminated string; NULL is an empty one. */
NHTTP_API NHTTP_MUST_CHECK struct nhttp_text nhttp_text_of(const char *string);

/** Whether two texts are the same bytes. */
NHTTP_API NHTTP_MUST_CHECK bool nhttp_text_equals(struct nhttp_text a, struct nhttp_text b);

/** Whether they are the same but for the case of the letters of ASCII. */
NHTTP_API NHTTP_MUST_CHECK bool nhttp_text_equals_nocase(struct nhttp_text a, struct nhttp_text b);

#ifdef __cplusplus
}
#endif

#endif
