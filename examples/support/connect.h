/** Blocking connections for clients that use nothing of the toolkit. */
#ifndef EXAMPLES_CONNECT_H
#define EXAMPLES_CONNECT_H

/**
 * Connects to "HOST:PORT", "[::1]:PORT", "unix:PATH" or "unix:@NAME".
 *
 * @return a blocking stream socket, close-on-exec, TCP_NODELAY on TCP; -EINVAL when the address
 *         cannot be parsed, -ENXIO when HOST has no address, -ECONNREFUSED ... as the system says
 *
 * Thread: any thread. Memory: the caller owns the descriptor.
 */
int connect_to(const char *address);

#endif
