/**
 * Cookies: RFC 6265, sections 4.1 and 4.2, and what browsers do beyond it (its successor, a draft:
 * SameSite, Partitioned, prefixes of names, bounds).
 *
 * What comes is taken as it is, in bounds; what is sent is checked strictly. Every call costs at
 * most in proportion to the text.
 *
 * Threads: any. Memory: the caller's; nothing is allocated. Errors: 0 or a negative errno value.
 */
#ifndef NHTTP_COOKIE_H
#define NHTTP_COOKIE_H

#include <nhttp/export.h>
#include <nhttp/text.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What a limit of 0 means: no browser keeps as many for one site. */
#define NHTTP_COOKIES_DEFAULT 256U
/** Most bytes of a name and its value together: browsers throw larger cookies away. */
#define NHTTP_COOKIE_BYTES_MAX 4096U
/** Most bytes of a path: browsers act as if a longer one had not been said. */
#define NHTTP_COOKIE_PATH_BYTES_MAX 1024U
/** Room that is enough for any value of Set-Cookie, with the NUL behind it. */
#define NHTTP_SET_COOKIE_BYTES_MAX (NHTTP_COOKIE_BYTES_MAX + NHTTP_COOKIE_PATH_BYTES_MAX + 512)
/** nhttp_set_cookie.max_age_s of a cookie that is to be forgotten at once. */
#define NHTTP_COOKIE_EXPIRED (-1)

/** A cookie that a client sends, borrowed from the field that it is in. */
struct nhttp_cookie {
    struct nhttp_text name;  /**< never empty */
    struct nhttp_text value; /**< as it came: quotes are part of it, nothing is decoded */
};

/** A way through the cookies of a field. Members are the calls' own. */
struct nhttp_cookies {
    struct nhttp_text left;
    size_t limit; /* how many more there may be */
};

/**
 * Begins.
 *
 * @param field  value of a field Cookie; borrowed until the last call on cookies
 * @param limit  most cookies; 0: NHTTP_COOKIES_DEFAULT
 */
NHTTP_API void nhttp_cookies_begin(struct nhttp_cookies *cookies, struct nhttp_text field,
                                   size_t limit);

/**
 * Goes on to the next cookie.
 *
 * Tolerant: spaces and tabs around names and values are left out, any other byte may be in them.
 * What has no "=", or no name before it, is passed over.
 *
 * @param out  untouched when there is none
 * @return 0; -ENOENT at the end; -E2BIG when there are more than the limit. Either is final
 */
NHTTP_API NHTTP_MUST_CHECK int nhttp_cookies_next(struct nhttp_cookies *cookies,
                                                  struct nhttp_cookie *out);

/**
 * Finds the first cookie of a name. Browsers send the one of the longest path first; any other
 * host of the domain may have set any of them.
 *
 * @param name   case matters
 * @param limit  as for nhttp_cookies_begin()
 * @param value  untouched when there is none
 * @return 0; -ENOENT; -E2BIG when it is not among the first `limit`, and there are more
 */
NHTTP_API NHTTP_MUST_CHECK int nhttp_cookies_find(struct nhttp_text field, struct nhttp_text name,
                                                  size_t limit, struct nhttp_text *value);

/** Which requests from other sites a cookie goes with. */
enum nhttp_same_site {
    NHTTP_SAME_SITE_DEFAULT = 0, /**< not said: the browser's default */
    NHTTP_SAME_SITE_LAX = 1,
    NHTTP_SAME_SITE_STRICT = 2,
    NHTTP_SAME_SITE_NONE = 3, /**< with all of them; needs secure */
};

/** A cookie to set. Zero members say nothing. */
struct nhttp_set_cookie {
    struct nhttp_text name;  /**< a token */
    struct nhttp_text value; /**< visible ASCII but for `"` `,` `;` and `\`, maybe in quotes; encode
                                  others, see nhttp/escape.h; may be empty */
    struct nhttp_text path;  /**< begins with a slash; visible ASCII but for `;`; empty: not said */
    struct nhttp_text domain; /**< name of a host, no leading dot; empty: this host only */
    int64_t max_age_s;        /**< seconds; 0: not said; NHTTP_COOKIE_EXPIRED: forget it */
    time_t expires;           /**< of the years 1601 to 9999; 0: not said */
    enum nhttp_same_site same_site;
    bool secure;
    bool http_only;
    bool partitioned; /**< needs secure */
};

/**
 * Writes the value of a field Set-Cookie.
 *
 * Every part is checked, so that none can add an attribute, let alone a field. Cookies that
 * browsers are known to throw away are refused, too: without Secure though they need it, with a
 * name that begins with __Secure- or __Host- and without what these demand, above
 * NHTTP_COOKIE_BYTES_MAX, with a path above NHTTP_COOKIE_PATH_BYTES_MAX.
 *
 * @param out   size bytes; apart from what the cookie refers to; NHTTP_SET_COOKIE_BYTES_MAX are
 *              always enough
 * @return bytes written, without the NUL behind them; -EINVAL for a cookie that cannot be; -ENOSPC.
 *         On failure out is an empty string, if size is not 0
 */
NHTTP_API NHTTP_MUST_CHECK ssize_t nhttp_set_cookie_format(const struct nhttp_set_cookie *cookie,
                                                           char *out, size_t size);

#ifdef __cplusplus
}
#endif

#endif
