/**
 * The response to a request. It is made in memory and leaves when the request ends, or piece by
 * piece: see nhttp_response_begin().
 *
 * Names and values are checked by every call: no CR, LF or NUL can get into a head.
 *
 * Threads, memory: as nhttp/request.h. Errors: 0 or a negative errno value; -EBUSY once the head
 * has left.
 */
#ifndef NHTTP_RESPONSE_H
#define NHTTP_RESPONSE_H

#include <nhttp/export.h>
#include <nhttp/request.h>

#include <linkbuffer/linkbuffer.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Sets the status, 200 to 599. @return 0; -EINVAL; -EBUSY */
NHTTP_API NHTTP_MUST_CHECK int nhttp_response_set_status(struct nhttp_request *request, int status);
/** The status as it is set. */
NHTTP_API NHTTP_MUST_CHECK int nhttp_response_status(const struct nhttp_request *request);

/**
 * Sets a field; lines of that name that were there are gone.
 *
 * Content-Length and Transfer-Encoding are the server's. `Connection: close` has the connection
 * closed behind the answer; nothing else may be said there.
 *
 * @param name   a token
 * @param value  borrowed
 * @return 0; -EINVAL for a name or value that cannot be; -EPERM for one that is the server's;
 *         -ENOMEM; -EBUSY
 */
NHTTP_API NHTTP_MUST_CHECK int nhttp_response_set_field(struct nhttp_request *request,
                                                        const char *name, const char *value);
/** Adds a line, whatever lines of that name there are; otherwise as nhttp_response_set_field(). */
NHTTP_API NHTTP_MUST_CHECK int nhttp_response_add_field(struct nhttp_request *request,
                                                        const char *name, const char *value);
/** Takes the lines of a name away. @return 0; -ENOENT; -EBUSY */
NHTTP_API int nhttp_response_remove_field(struct nhttp_request *request, const char *name);

/** Sets Content-Type. The string is borrowed until the request ends. @return as set_field */
NHTTP_API NHTTP_MUST_CHECK int nhttp_response_set_type(struct nhttp_request *request,
                                                       const char *type);

/** Appends a copy to the body. @return 0; -ENOMEM; -EBUSY */
NHTTP_API NHTTP_MUST_CHECK int nhttp_response_write(struct nhttp_request *request, const void *data,
                                                    size_t n);
/**
 * Appends the caller's memory itself to the body.
 *
 * @param release  as for linkbuffer_write_ref()
 * @return 0; -ENOMEM or -EBUSY: release will not be called
 */
NHTTP_API NHTTP_MUST_CHECK int nhttp_response_write_ref(struct nhttp_request *request,
                                                        const void *data, size_t n,
                                                        linkbuffer_release_fn *release, void *arg);
/** Moves every readable byte of a buffer to the end of the body. @return 0; -ENOMEM; -EBUSY */
NHTTP_API NHTTP_MUST_CHECK int nhttp_response_append(struct nhttp_request *request,
                                                     struct linkbuffer *from);
/** Takes back the body that has been made. @return 0; -EBUSY */
NHTTP_API int nhttp_response_reset_body(struct nhttp_request *request);

/**
 * Makes the response of a status: its phrase as text, nothing of what was set before.
 *
 * @param text  the body instead; NULL: the phrase
 * @return 0; -EINVAL; -ENOMEM; -EBUSY
 */
NHTTP_API NHTTP_MUST_CHECK int nhttp_response_error(struct nhttp_request *request, int status,
                                                    const char *text);
/**
 * Makes the response a redirection.
 *
 * @param status    301, 302, 303, 307 or 308
 * @param location  the field's value
 * @return 0; -EINVAL; -ENOMEM; -EBUSY
 */
NHTTP_API NHTTP_MUST_CHECK int nhttp_response_redirect(struct nhttp_request *request, int status,
                                                       const char *location);

/** Has the connection closed behind the answer. @return 0; -EBUSY */
NHTTP_API int nhttp_response_close(struct nhttp_request *request);

#ifdef __cplusplus
}
#endif

#endif
