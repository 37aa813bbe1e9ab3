/**
 * Arguments: "a=1&b=2", of a query and of a body of application/x-www-form-urlencoded (the URL
 * standard, section 5).
 *
 * Nothing is kept and nothing is allocated: names and values are pieces of the text, as they came.
 * Decode a value by nhttp_unescape_query(). Names are compared as if they were decoded.
 *
 * Only "&" separates: a server that also took ";" would see other arguments than a cache before it.
 * Pieces between separators that are empty are passed over; what has no "=" is a name without a
 * value; a name may be empty.
 *
 * Every call costs at most in proportion to the text. A handler that looks for many names goes
 * through the arguments once itself. How many there may be is bounded by `limit`; how long they may
 * be is bounded by the limits of heads and bodies.
 *
 * Threads: any. Memory: the caller's. Errors: 0 or a negative errno value.
 */
#ifndef NHTTP_ARGS_H
#define NHTTP_ARGS_H

#include <nhttp/export.h>
#include <nhttp/text.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What a limit of 0 means. */
#define NHTTP_ARGS_DEFAULT 1000U

/** An argument, borrowed from the text that it is in, not decoded. */
struct nhttp_arg {
    struct nhttp_text name;
    struct nhttp_text value; /**< empty when it has none */
    bool has_value;          /**< there is a "=" */
};

/** A way through the arguments. Members are the calls' own. */
struct nhttp_args {
    struct nhttp_text left;
    size_t limit; /* how many more there may be */
};

/**
 * Begins.
 *
 * @param text   borrowed until the last call on args
 * @param limit  most arguments; 0: NHTTP_ARGS_DEFAULT
 */
NHTTP_API void nhttp_args_begin(struct nhttp_args *args, struct nhttp_text text, size_t limit);

/**
 * Goes on to the next argument.
 *
 * @param out  untouched when there is none
 * @return 0; -ENOENT at the end; -E2BIG when there are more than the limit. Either is final
 */
NHTTP_API NHTTP_MUST_CHECK int nhttp_args_next(struct nhttp_args *args, struct nhttp_arg *out);

/**
 * Finds the first argument of a name.
 *
 * @param name   decoded; in this case
 * @param limit  as for nhttp_args_begin()
 * @param out    untouched when there is none
 * @return 0; -ENOENT; -E2BIG when it is not among the first `limit`, and there are more
 */
NHTTP_API NHTTP_MUST_CHECK int nhttp_args_find(struct nhttp_text text, struct nhttp_text name,
                                               size_t limit, struct nhttp_arg *out);

/**
 * Counts the arguments of a name.
 *
 * @return how many; -E2BIG when there are more arguments, of any name, than the limit
 */
NHTTP_API NHTTP_MUST_CHECK ssize_t nhttp_args_count(struct nhttp_text text, struct nhttp_text name,
                                                    size_t limit);

/** Whether the name of an argument, decoded, is this one. */
NHTTP_API NHTTP_MUST_CHECK bool nhttp_arg_is(const struct nhttp_arg *arg, struct nhttp_text name);

/**
 * The value as a number: decimal digits and nothing else, neither sign nor space.
 *
 * @param out  untouched on failure
 * @return 0; -EINVAL; -ERANGE above UINT64_MAX
 */
NHTTP_API NHTTP_MUST_CHECK int nhttp_arg_unsigned(const struct nhttp_arg *arg, uint64_t *out);

/**
 * The value as yes or no: "1", "true", "yes", "on" and a name without "=", or "0", "false", "no",
 * "off", in any case.
 *
 * @param out  untouched on failure
 * @return 0; -EINVAL for anything else, the empty value included
 */
NHTTP_API NHTTP_MUST_CHECK int nhttp_arg_bool(const struct nhttp_arg *arg, bool *out);

#ifdef __cplusplus
}
#endif

#endif
