/**
 * A request, and the response to it.
 *
 * Threads: the handler, until it returns; after nhttp_request_defer() whoever has the request, one
 * thread at a time. Calls that say so may be made beside.
 * Memory: what a call shows belongs to the request and stays as it is until the request ends, when
 * the handler returns or nhttp_request_finish() is called.
 * Errors: 0 or a negative errno value.
 */
#ifndef NHTTP_REQUEST_H
#define NHTTP_REQUEST_H

#include <nhttp/export.h>
#include <nhttp/head.h>
#include <nhttp/text.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct linkbuffer;
struct netpoll_conn;
struct nhttp_request;

/**
 * Answers a request: see nhttp/response.h. What it has not said is the default: 200, no body.
 *
 * A panic in it answers 500, if no answer has begun, else it aborts the connection.
 *
 * Thread: as nhttp_server_options.executor says.
 */
typedef void nhttp_handler_fn(struct nhttp_request *request, void *arg);

/** A function on a request. */
typedef void nhttp_request_fn(struct nhttp_request *request, void *arg);

NHTTP_API NHTTP_MUST_CHECK enum nhttp_method
nhttp_request_method(const struct nhttp_request *request);
/** The method as it came; methods are case-sensitive. */
NHTTP_API NHTTP_MUST_CHECK struct nhttp_text
nhttp_request_method_name(const struct nhttp_request *request);
/** The target as it came. */
NHTTP_API NHTTP_MUST_CHECK struct nhttp_text
nhttp_request_target(const struct nhttp_request *request);
/**
 * The path: percent-decoded once, dot segments removed (RFC 3986, 5.2.4). It begins with a slash;
 * empty for the forms of a target that have none. It has no NUL, CR or LF, and is followed by a
 * NUL.
 */
NHTTP_API NHTTP_MUST_CHECK struct nhttp_text
nhttp_request_path(const struct nhttp_request *request);
/** What follows the question mark, as it came. */
NHTTP_API NHTTP_MUST_CHECK struct nhttp_text
nhttp_request_query(const struct nhttp_request *request);
/** Of the target, else of the field Host, with the port if there is one; HTTP/1.0 may have none. */
NHTTP_API NHTTP_MUST_CHECK struct nhttp_text
nhttp_request_host(const struct nhttp_request *request);
/** 0 or 1, of HTTP/1. */
NHTTP_API NHTTP_MUST_CHECK uint8_t nhttp_request_minor_version(const struct nhttp_request *request);

/**
 * The value of the first field of that name.
 *
 * @param name  in any case
 * @param out   untouched when there is none
 * @return 0; -ENOENT
 */
NHTTP_API NHTTP_MUST_CHECK int nhttp_request_field(const struct nhttp_request *request,
                                                   const char *name, struct nhttp_text *out);
/** The same by id, which compares no names. */
NHTTP_API NHTTP_MUST_CHECK int nhttp_request_field_by_id(const struct nhttp_request *request,
                                                         enum nhttp_field_id id,
                                                         struct nhttp_text *out);
/** Number of field lines. */
NHTTP_API NHTTP_MUST_CHECK size_t nhttp_request_field_count(const struct nhttp_request *request);
/** The field line of an index, in the order they came. @return 0; -ENOENT */
NHTTP_API NHTTP_MUST_CHECK int nhttp_request_field_at(const struct nhttp_request *request,
                                                      size_t index, struct nhttp_text *name,
                                                      struct nhttp_text *value);

/**
 * The first value of an argument of the query, decoded. It is looked for anew, and copied, each
 * time it is asked for; the copies stay until the request ends.
 *
 * @param out  NUL-terminated; untouched on failure
 * @return 0; -ENOENT; -E2BIG when it is not among the first NHTTP_ARGS_DEFAULT, and there are more;
 *         -EBADMSG when it has a NUL; -ENOMEM. For more than that: nhttp/args.h
 */
NHTTP_API NHTTP_MUST_CHECK int nhttp_request_query_arg(struct nhttp_request *request,
                                                       const char *name, struct nhttp_text *out);
/** The same of an application/x-www-form-urlencoded body; -ENOENT for other bodies. */
NHTTP_API NHTTP_MUST_CHECK int nhttp_request_post_arg(struct nhttp_request *request,
                                                      const char *name, struct nhttp_text *out);
/**
 * The value of the first cookie of a name, as it came: see nhttp/cookie.h.
 *
 * @return 0; -ENOENT; -E2BIG when it is not among the first NHTTP_COOKIES_DEFAULT of any field
 *         Cookie, and one of these has more
 */
NHTTP_API NHTTP_MUST_CHECK int nhttp_request_cookie(const struct nhttp_request *request,
                                                    const char *name, struct nhttp_text *out);

/** Bytes of the body, decoded; 0 for one that is read while it comes: nhttp/body.h. */
NHTTP_API NHTTP_MUST_CHECK size_t nhttp_request_body_len(const struct nhttp_request *request);
/**
 * Shows the body in one piece.
 *
 * @return 0; -ENOMEM; -EINVAL for one that is read while it comes
 */
NHTTP_API NHTTP_MUST_CHECK int nhttp_request_body(struct nhttp_request *request,
                                                  struct nhttp_text *out);
/**
 * The body as a buffer, to be read in pieces or appended to the response without a copy.
 *
 * @return NULL when there is no body, and for one that is read while it comes
 */
NHTTP_API NHTTP_MUST_CHECK struct linkbuffer *
nhttp_request_body_buffer(struct nhttp_request *request);

/** The connection: for its addresses and options; not for reading, writing or closing. */
NHTTP_API NHTTP_MUST_CHECK struct netpoll_conn *
nhttp_request_conn(const struct nhttp_request *request);
/** Number of the request on its connection, from 1. */
NHTTP_API NHTTP_MUST_CHECK uint32_t nhttp_request_number(const struct nhttp_request *request);

/**
 * Attaches a value.
 *
 * @param key      compared as a pointer's text; copied
 * @param value    NULL takes the value away
 * @param destroy  called with the value when it is replaced or taken away, or the request ends;
 *                 NULL: nothing
 * @return 0; -ENOMEM: destroy will not be called
 */
NHTTP_API NHTTP_MUST_CHECK int nhttp_request_set_value(struct nhttp_request *request,
                                                       const char *key, void *value,
                                                       void (*destroy)(void *value));
/** The value of a key; NULL: none. */
NHTTP_API NHTTP_MUST_CHECK void *nhttp_request_value(const struct nhttp_request *request,
                                                     const char *key);

/**
 * Says that the answer will come later: not when the handler returns, but by
 * nhttp_request_finish(), on any thread. In on_head it does nothing. A panic of the handler behind
 * it answers 500, unless an answer has begun; the request has to be finished all the same.
 *
 * Thread: handler.
 */
NHTTP_API void nhttp_request_defer(struct nhttp_request *request);

/**
 * Ends a deferred request: its response is sent.
 *
 * Thread: whoever has it. Memory: the request is gone.
 */
NHTTP_API void nhttp_request_finish(struct nhttp_request *request);

/**
 * Takes the connection of a request over, when its answer has been sent.
 *
 * @param fd      the descriptor, non-blocking and close-on-exec, now the callee's; -1 when the
 *                connection ended before, or the request was not answered
 * @param unread  what the client has sent behind the request, in a buffer of the callee's: it frees
 *                it with linkbuffer_destroy(); NULL when there is nothing
 *
 * Thread: poller, or with -1 that of whoever ends the request. It must not block.
 */
typedef void nhttp_hijacked_fn(int fd, struct linkbuffer *unread, void *arg);

/**
 * Ends HTTP on the connection with this request: WebSocket, tunnels, protocols of one's own.
 *
 * The answer is sent as it is made; 101 says `Connection: upgrade` and must have the field Upgrade.
 *
 * @return 0: fn will be called exactly once; -EINVAL without fn; -EBUSY when it has been called
 *         before, or the answer's body has begun, or that of the request is read while it comes
 */
NHTTP_API NHTTP_MUST_CHECK int nhttp_request_hijack(struct nhttp_request *request,
                                                    nhttp_hijacked_fn *fn, void *arg);
/** Whether the client asks for another protocol: Connection has upgrade, Upgrade says to which. */
NHTTP_API NHTTP_MUST_CHECK bool nhttp_request_wants_upgrade(const struct nhttp_request *request);

/**
 * Has fn called when the client has closed or reset the connection, or handler_timeout_ms has
 * passed: an answer would be in vain. The request goes on until it is finished.
 *
 * @return 0: fn will be called at most once, possibly beside the handler, and not after the request
 *         has ended; -ECANCELED: that has happened already; -EEXIST: there is a function already;
 *         -EINVAL without fn
 *
 * Thread of fn: poller. It must not block, nor use the request but for nhttp_request_value() of
 * what was set before this call.
 */
NHTTP_API NHTTP_MUST_CHECK int nhttp_request_on_cancel(struct nhttp_request *request,
                                                       nhttp_request_fn *fn, void *arg);
/** Whether that has happened. Thread: any that has the request. */
NHTTP_API NHTTP_MUST_CHECK bool nhttp_request_is_cancelled(const struct nhttp_request *request);

#ifdef __cplusplus
}
#endif

#endif
