/**
 * Bodies of requests that are read while they come.
 *
 * Without more, a handler gets a request when its body is whole: see nhttp_request_body(). With
 * nhttp_server_options.stream_bodies, or stream_body set by on_head, it gets it with the head,
 * unless all of the body came with that, and reads on by nhttp_body_take(). These calls serve both.
 *
 * What is not taken holds the client up: no more than body_window_bytes wait for the handler, the
 * rest in the connection's input, whose size is bounded, and with the client. Time limits of bodies
 * rest meanwhile. What has not been taken when the answer is complete is thrown away, up to
 * max_drain_bytes; if there is more, the connection ends behind the answer.
 *
 * A body that is refused meanwhile, because it is too long, too slow or malformed, is answered by
 * the server as any other, unless the handler's answer has begun.
 *
 * Threads: whoever has the request. Errors: 0 or a negative errno value.
 */
#ifndef NHTTP_BODY_H
#define NHTTP_BODY_H

#include <nhttp/export.h>
#include <nhttp/request.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Takes what has come of the body; a client that waits for 100 (Continue) is sent it first.
 *
 * @param to  gets the bytes, readable; whatever else it has stays
 * @return bytes taken; 0: the body is complete, and all of it has been taken; -EAGAIN: nothing has
 *         come since; -ECANCELED: nothing more will come, for the client has gone or the body was
 *         refused; -ENOMEM
 *
 * Memory: to is the caller's; it shares the memory that the bytes came in.
 */
NHTTP_API NHTTP_MUST_CHECK ssize_t nhttp_body_take(struct nhttp_request *request,
                                                   struct linkbuffer *to);

/**
 * Waits until nhttp_body_take() does not say -EAGAIN. On a worker of a pool another one takes its
 * place meanwhile.
 *
 * @param timeout_ms  0 does not wait; NETPOLL_TIMEOUT_NONE
 * @return 0; -ETIMEDOUT; -EINVAL for another negative timeout; -EDEADLK on a poller of the
 *         runtime, unless timeout_ms is 0; -EAGAIN when so many workers wait that no further one
 *         may, see gopool_options.max_blocked
 */
NHTTP_API NHTTP_MUST_CHECK int nhttp_body_wait(struct nhttp_request *request, int64_t timeout_ms);

/**
 * Has fn called when nhttp_body_take() does not say -EAGAIN any more: once. For requests that are
 * deferred: fn has the request from this call on, and may do anything with it, as a handler; a
 * panic in it is as one in the handler, and finishes the request.
 *
 * @return 0: fn will be called, or has been; -EALREADY: it will not, there is something to take
 *         now; -EINVAL without fn, or when the request is not deferred
 *
 * Thread of fn: poller. It must not block.
 */
NHTTP_API NHTTP_MUST_CHECK int nhttp_body_on_more(struct nhttp_request *request,
                                                  nhttp_request_fn *fn, void *arg);

/**
 * The value of the first trailer field of that name. Fields that must not be in trailers
 * (RFC 9110, section 6.5.1) are not shown.
 *
 * @param name  in any case
 * @param out   untouched when there is none; belongs to the request
 * @return 0; -ENOENT; -EAGAIN: the body is not complete, or has not all been taken
 */
NHTTP_API NHTTP_MUST_CHECK int nhttp_request_trailer(struct nhttp_request *request,
                                                     const char *name, struct nhttp_text *out);
/** The trailer field of an index, in the order they came. @return as nhttp_request_trailer() */
NHTTP_API NHTTP_MUST_CHECK int nhttp_request_trailer_at(struct nhttp_request *request, size_t index,
                                                        struct nhttp_text *name,
                                                        struct nhttp_text *value);

#ifdef __cplusplus
}
#endif

#endif
