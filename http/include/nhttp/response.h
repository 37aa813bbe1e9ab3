/**
 * The response to a request. It is made in memory and leaves when the request ends, or, after
 * nhttp_response_begin(), piece by piece.
 *
 * Names and values are checked by every call: no CR, LF or NUL can get into a head.
 *
 * Threads, memory: as nhttp/request.h. Errors: 0 or a negative errno value; -EBUSY for what belongs
 * in front of the body once that has begun.
 */
#ifndef NHTTP_RESPONSE_H
#define NHTTP_RESPONSE_H

#include <nhttp/export.h>
#include <nhttp/request.h>

#include <linkbuffer/file.h>
#include <linkbuffer/linkbuffer.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Sets the status: 200 to 599, or 101 when the client asks for an upgrade and the request is
 * hijacked, see nhttp_request_hijack().
 *
 * @return 0; -EINVAL; -EBUSY
 */
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

struct nhttp_set_cookie;
/**
 * Adds a line Set-Cookie: see nhttp/cookie.h.
 *
 * @return 0; -EINVAL for a cookie that cannot be; -ENOMEM; -EBUSY
 */
NHTTP_API NHTTP_MUST_CHECK int nhttp_response_set_cookie(struct nhttp_request *request,
                                                         const struct nhttp_set_cookie *cookie);

/**
 * Sets Content-Type. Without it a body is text/plain; charset=utf-8.
 *
 * @param type  borrowed until the request ends
 * @return as nhttp_response_set_field()
 */
NHTTP_API NHTTP_MUST_CHECK int nhttp_response_set_type(struct nhttp_request *request,
                                                       const char *type);

/**
 * Appends a copy to the body.
 *
 * @return 0; -ENOMEM; of a body that has begun also -EMSGSIZE, nothing appended, when it would have
 *         more bytes than were announced, and -ENOTCONN when the client has gone
 */
NHTTP_API NHTTP_MUST_CHECK int nhttp_response_write(struct nhttp_request *request, const void *data,
                                                    size_t n);
/**
 * Appends the caller's memory itself to the body.
 *
 * @param release  as for linkbuffer_write_ref()
 * @return as nhttp_response_write(); on failure release will not be called
 */
NHTTP_API NHTTP_MUST_CHECK int nhttp_response_write_ref(struct nhttp_request *request,
                                                        const void *data, size_t n,
                                                        linkbuffer_release_fn *release, void *arg);
/** Moves every readable byte of a buffer to the end of the body. @return as nhttp_response_write()
 */
NHTTP_API NHTTP_MUST_CHECK int nhttp_response_append(struct nhttp_request *request,
                                                     struct linkbuffer *from);
/**
 * Appends bytes of a file to the body. They are not read, but sent by sendfile(2) when their turn
 * has come, and not at all to HEAD. A file of any length holds no memory.
 *
 * What cannot be read then, because the file has become shorter, has the connection reset: the
 * length has been announced. Whoever changes files that are being sent writes new ones and renames
 * them.
 *
 * @param fd  open for reading, of a regular file; taken on success: it is closed, once, when its
 *            bytes have been sent or dropped, on any thread. On failure it stays the caller's
 * @param n   0: it is closed at once
 * @return as nhttp_response_write(); -EINVAL for another kind of descriptor or a negative offset;
 *         -ERANGE when the file has fewer bytes than offset + n
 */
NHTTP_API NHTTP_MUST_CHECK int nhttp_response_file(struct nhttp_request *request, int fd,
                                                   off_t offset, size_t n);
/**
 * The same with a descriptor that stays the caller's, shared by many responses for example.
 *
 * @param file  borrowed; its release is called once, as that of linkbuffer_write_file(), and not on
 *              failure
 * @return as nhttp_response_file()
 */
NHTTP_API NHTTP_MUST_CHECK int nhttp_response_write_file(struct nhttp_request *request,
                                                         const struct linkbuffer_file *file);
/** As nhttp_response_begin(): the body has as many bytes as it will turn out to have. */
#define NHTTP_LENGTH_UNKNOWN (-1)

/**
 * Sends the head, and what there is of the body; what is written from now on leaves with the next
 * flush, or when the request ends. No time limit answers for the handler any more.
 *
 * A body of unknown length is chunked, or ends with the connection for HTTP/1.0. If the request
 * ends with fewer bytes than announced, or by a panic, the connection is reset, so that the client
 * can tell.
 *
 * @param length  bytes of the body; NHTTP_LENGTH_UNKNOWN
 * @return 0; -EINVAL for another negative length or less than has been written; -EBUSY when it has
 *         begun; -ECANCELED when a time limit has answered; -EPERM in on_head; -ENOMEM; -ENOTCONN
 */
NHTTP_API NHTTP_MUST_CHECK int nhttp_response_begin(struct nhttp_request *request, int64_t length);

/**
 * Hands what has been written to the kernel, now or as soon as it takes it. Never blocks.
 *
 * @return as netpoll_conn_flush(): 1 when more than 1 MiB is queued now; -EINVAL before
 *         nhttp_response_begin()
 */
NHTTP_API NHTTP_MUST_CHECK int nhttp_response_flush(struct nhttp_request *request);
/**
 * The same, and waits until the kernel has taken all of it: for bodies that are made faster than
 * the client takes them.
 *
 * @return as netpoll_conn_flush_wait(); -EINVAL before nhttp_response_begin()
 *
 * Thread: not a poller.
 */
NHTTP_API NHTTP_MUST_CHECK int nhttp_response_flush_wait(struct nhttp_request *request,
                                                         int64_t timeout_ms);

/**
 * Has fn called when as much has left that nhttp_response_flush() takes more, or the connection has
 * ended: once. For requests that are deferred, behind a flush that gave 1: fn has the request from
 * this call on, and may do anything with it, as a handler; a panic in it is as one in the handler,
 * and finishes the request.
 *
 * @return 0: fn will be called, or has been; -EALREADY: it will not, there is room; -EINVAL without
 *         fn, or when the request is not deferred
 *
 * Thread of fn: poller. It must not block.
 */
NHTTP_API NHTTP_MUST_CHECK int nhttp_response_on_writable(struct nhttp_request *request,
                                                          nhttp_request_fn *fn, void *arg);

/**
 * Adds a field behind a chunked body: RFC 9112, section 7.1.2. Others leave it out.
 *
 * @return 0; -EINVAL as nhttp_response_set_field(), or before nhttp_response_begin(); -EPERM for a
 *         field that must not be in a trailer (RFC 9110, section 6.5.1); -ENOMEM
 */
NHTTP_API NHTTP_MUST_CHECK int nhttp_response_add_trailer(struct nhttp_request *request,
                                                          const char *name, const char *value);

/**
 * Sends the fields that have been set as an interim response 103, at once: RFC 8297. They stay set.
 * Nothing is sent to HTTP/1.0. No time limit answers for the handler any more.
 *
 * @return 0; -EBUSY; -ECANCELED when a time limit has answered; -ENOMEM; -ENOTCONN
 */
NHTTP_API NHTTP_MUST_CHECK int nhttp_response_early_hints(struct nhttp_request *request);

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
