/**
 * Paths of targets: RFC 3986, sections 2.1 and 5.2.4.
 *
 * Route by the decoded path. There %2F is a slash like any other, so that nobody who opens files by
 * it can be led elsewhere. Who has to tell the two apart takes the path as it came, normalises it
 * with NHTTP_PATH_ESCAPED, splits it at its slashes and decodes each segment by
 * nhttp_unescape_path(): a segment may hold slashes then, and must not be used as a name of a file.
 *
 * Threads: any. Memory: the caller's; nothing is allocated.
 * Errors: a count, or a negative errno value, and then the room has been written to.
 */
#ifndef NHTTP_PATH_H
#define NHTTP_PATH_H

#include <nhttp/export.h>

#include <stddef.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Flags of nhttp_path_normalize(). */
enum nhttp_path_flags {
    NHTTP_PATH_MERGE_SLASHES = 1, /**< "//" is "/", before dot segments are looked for */
    NHTTP_PATH_ESCAPED = 2,       /**< the path has not been decoded: %2e is a dot, too */
};

/**
 * Decodes a path, exactly once, and takes its dot segments away.
 *
 * Dot segments are looked for in the decoded path, so that nobody who uses it as it is can come
 * above the root. Empty segments stay: a path may begin with two slashes, which is another host
 * when it is sent as a location.
 *
 * @param path  n bytes; begins with a slash, or is empty
 * @param out   room for n bytes; path itself, or memory apart from it
 * @return bytes of the decoded path; -EBADMSG for what nhttp_unescape_path() refuses, for dot
 *         segments that lead above the root, and for a path that does not begin with a slash
 */
NHTTP_API NHTTP_MUST_CHECK ssize_t nhttp_path_decode(const char *path, size_t n, char *out);

/**
 * Takes dot segments away, and changes nothing the second time. Nothing is decoded.
 *
 * @param path   n bytes; begins with a slash, or is empty
 * @param flags  of enum nhttp_path_flags
 * @param out    room for n bytes; path itself, or memory apart from it
 * @return bytes of the path, which begins with a slash or is empty; -EBADMSG for dot segments that
 *         lead above the root, and for a path that does not begin with a slash; -EINVAL for flags
 *         that do not exist
 */
NHTTP_API NHTTP_MUST_CHECK ssize_t nhttp_path_normalize(const char *path, size_t n, unsigned flags,
                                                        char *out);

#ifdef __cplusplus
}
#endif

#endif
