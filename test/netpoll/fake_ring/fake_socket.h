/*
 * What the backend reads by itself, and the clock it reads: np_socket_receive(),
 * np_socket_take_error() and np_poller_woke(), replaced by the linker.
 */
#ifndef FAKE_SOCKET_H
#define FAKE_SOCKET_H

#include <stddef.h>

/* What lies in every socket; reading takes it, and then gives -EAGAIN or the end, see below. It is
 * the caller's until it has been read. */
void fake_socket_fill(const char *text);
/* After the bytes comes this: 0 for the end, -errno; 1: nothing yet. */
void fake_socket_end(int result);
/* Reads that were made. */
size_t fake_socket_reads(void);
/* Who asks for an error gets this, until it is another one. */
void fake_socket_set_error(int error);
/* How often one was asked for. */
size_t fake_socket_asked(void);

/* Milliseconds go by; timers fire. */
void fake_clock_pass(unsigned ms);

#endif
