/*
 * The other end of a connection: blocking sockets whose every wait ends. What goes wrong that the
 * caller did not ask for fails the test. Any thread.
 */
#ifndef TEST_SUPPORT_CLIENT_H
#define TEST_SUPPORT_CLIENT_H

#include <stdbool.h>
#include <stddef.h>

/* Connects to "1.2.3.4:PORT", "[::1]:PORT", "unix:PATH" or "unix:@NAME". */
int client_dial(const char *address);
/* The same with this much room for what has not been read, so that the sender soon stands. */
int client_dial_narrow(const char *address, int receive_bytes);
/* The same; -errno when it does not come about, which is ECONNRESET of a server that accepted it
 * and reset it before this thread ran. */
int client_try_dial(const char *address);

void client_send(int fd, const void *data, size_t n);
/* Bytes that were taken before the connection broke: n if it did not. */
size_t client_try_send(int fd, const void *data, size_t n);
/* Sends as much as is taken without a wait of more than half a second: bytes. */
size_t client_send_until_it_stands(int fd, const void *data, size_t n);
/* Receives n bytes, fewer only at the end. */
size_t client_receive(int fd, void *into, size_t n);
/* The same; fewer also when the connection broke. */
size_t client_try_receive(int fd, void *into, size_t n);
/* The peer's end is the next thing that comes. */
bool client_sees_end(int fd);
/* A reset comes, after any number of bytes, or came already: fd is what client_try_dial() said. */
bool client_sees_reset(int fd);
/* Receives and forgets everything up to the end or a reset: bytes. */
size_t client_drain(int fd);

/* No more will be sent. */
void client_end_sending(int fd);
void client_close(int fd);
/* Closes with a reset. */
void client_reset(int fd);

#endif
