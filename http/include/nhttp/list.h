/**
 * Lists in fields: RFC 9110, section 5.6.1. "gzip, br;q=0.5" is two elements.
 *
 * For lists whose elements are tokens, with or without parameters: Connection, Accept-Encoding,
 * Vary, Upgrade. Entity tags (If-None-Match) are none: a backslash means nothing in them.
 *
 * To go through a list costs in proportion to its bytes; the limits of heads bound these.
 *
 * Threads: any. Memory: elements are borrowed from the field's value; nothing is allocated.
 * Errors: none; any text is a list.
 */
#ifndef NHTTP_LIST_H
#define NHTTP_LIST_H

#include <nhttp/export.h>
#include <nhttp/text.h>

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Takes the next element off a list.
 *
 * Elements have no white space around them and are not empty; they may be anything otherwise. A
 * comma in a quoted string separates nothing; a quoted string that is not closed goes on to the
 * end.
 *
 * @param list     the field's value at first, afterwards what is left of it
 * @param element  untouched when there is none
 * @return whether there was one
 */
NHTTP_API NHTTP_MUST_CHECK bool nhttp_list_next(struct nhttp_text *list,
                                                struct nhttp_text *element);

/** Whether an element of the list is this token, in any case, and has no parameters. */
NHTTP_API NHTTP_MUST_CHECK bool nhttp_list_has(struct nhttp_text list, struct nhttp_text token);

#ifdef __cplusplus
}
#endif

#endif
