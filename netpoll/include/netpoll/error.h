/**
 * Errors and timeouts: negative errno values and some of our own outside the kernel's range, and
 * the values of a timeout that are no durations.
 */
#ifndef NETPOLL_ERROR_H
#define NETPOLL_ERROR_H

#include <netpoll/export.h>

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The peer has sent all it will send and there are not that many bytes left. */
#define NETPOLL_EOF (-4096)
/** Nobody has that name, or it has no address of the family that was asked for. */
#define NETPOLL_UNKNOWN_NAME (-4097)
/** The name servers cannot tell at present. */
#define NETPOLL_NAME_FAILED (-4098)

/** As a timeout in milliseconds: none. Other negative timeouts are -EINVAL. */
#define NETPOLL_TIMEOUT_NONE (-1)
/** Longest timeout, in milliseconds: about 24 days. A longer one is -EINVAL. */
#define NETPOLL_TIMEOUT_MS_MAX INT32_MAX

/**
 * A word for an error that a call of this library returned.
 *
 * @param error  a negative errno value or one of the constants above
 *
 * Thread: any thread. Memory: a constant string, or one that lives until the thread's next call.
 */
NETPOLL_API NETPOLL_MUST_CHECK const char *netpoll_strerror(int error);

#ifdef __cplusplus
}
#endif

#endif
