/** Paths of targets: RFC 3986, sections 2.1 and 5.2.4. */
#ifndef NHTTP_PATH_H
#define NHTTP_PATH_H

#include <nhttp/export.h>

#include <stddef.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Decodes a path, exactly once, and takes its dot segments away.
 *
 * Dot segments are looked for in the decoded path, so that nobody who decodes it can come above the
 * root. A slash that was written %2F is a slash. Empty segments stay.
 *
 * @param path  n bytes; begins with a slash, or is empty
 * @param out   room for n bytes; may be path itself
 * @return bytes of the decoded path; -EBADMSG for a percent sign without two hexadecimal digits,
 * for an encoded NUL, CR or LF, and for dot segments that lead above the root
 */
NHTTP_API NHTTP_MUST_CHECK ssize_t nhttp_path_decode(const char *path, size_t n, char *out);

#ifdef __cplusplus
}
#endif

#endif
