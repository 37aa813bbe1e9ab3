/**
 * Percent-escapes: RFC 3986, section 2.1, and the form encoding of the URL standard.
 *
 * Decoding is done exactly once: what an escape stands for is never looked at again, so %2561 is
 * the text %61. Whoever decodes a text a second time lets a client say what the first look did not
 * see.
 *
 * Bytes are bytes: nothing is taken for UTF-8, so the overlong %c0%ae is these two bytes and no
 * dot.
 *
 * Threads: any. Memory: the caller's; nothing is allocated.
 * Errors: a count, or a negative errno value, and then the room has been written to.
 */
#ifndef NHTTP_ESCAPE_H
#define NHTTP_ESCAPE_H

#include <nhttp/export.h>
#include <nhttp/text.h>

#include <stddef.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Room that n bytes need when they are encoded. */
#define NHTTP_ESCAPE_BYTES_MAX(n) (3 * (n))

/**
 * Decodes text of a path. A plus sign is a plus sign. For a whole path see nhttp/path.h.
 *
 * @param out  room for text.len bytes; text.data itself, or memory apart from it
 * @return bytes written; -EBADMSG for a percent sign without two hexadecimal digits, and for NUL,
 *         CR and LF, written as they are or as escapes
 */
NHTTP_API NHTTP_MUST_CHECK ssize_t nhttp_unescape_path(struct nhttp_text text, char *out);

/**
 * Decodes a name or a value of a query or a form. A plus sign is a space.
 *
 * A percent sign without two hexadecimal digits stays as it is: a query is any text, browsers send
 * what the user has typed behind the question mark, and the URL standard reads it like this.
 * Nothing is routed by it. CR and LF are let through, because browsers send the lines of a text
 * area with them. NUL is not: strings would end there.
 *
 * @param out  room for text.len bytes; text.data itself, or memory apart from it
 * @return bytes written; -EBADMSG for NUL, written as it is or as an escape
 */
NHTTP_API NHTTP_MUST_CHECK ssize_t nhttp_unescape_query(struct nhttp_text text, char *out);

/**
 * Encodes one segment of a path: all but letters, digits and "-._~" becomes an escape, a slash too.
 * nhttp_unescape_path() gives it back.
 *
 * @param out   not the text itself
 * @param size  of out; NHTTP_ESCAPE_BYTES_MAX(text.len) is always enough
 * @return bytes written, no NUL; -ENOSPC; -EINVAL for a text with NUL, CR or LF, and for "." and
 *         "..", which are no names in a path, escaped or not
 */
NHTTP_API NHTTP_MUST_CHECK ssize_t nhttp_escape_segment(struct nhttp_text text, char *out,
                                                        size_t size);

/**
 * Encodes a name or a value of a query or a form: all but letters, digits and "-._~" becomes an
 * escape, a space a plus sign. nhttp_unescape_query() gives it back.
 *
 * @param out   not the text itself
 * @param size  of out; NHTTP_ESCAPE_BYTES_MAX(text.len) is always enough
 * @return bytes written, no NUL; -ENOSPC; -EINVAL for a text with NUL
 */
NHTTP_API NHTTP_MUST_CHECK ssize_t nhttp_escape_query(struct nhttp_text text, char *out,
                                                      size_t size);

#ifdef __cplusplus
}
#endif

#endif
