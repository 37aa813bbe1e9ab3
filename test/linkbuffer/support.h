/*
 * What the Criterion tests of linkbuffer share: memory that fails on demand, buffers filled with
 * the pattern.
 */
#ifndef TEST_LINKBUFFER_SUPPORT_H
#define TEST_LINKBUFFER_SUPPORT_H

#include "pattern.h"

#include <linkbuffer/linkbuffer.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* First line of a test that counts blocks or copies or compares addresses: the hostile build keeps
 * what the headers promise about bytes, and nothing about where they lie. */
#ifdef LB_HOSTILE
#    define SKIP_IF_HOSTILE() cr_skip_test("the hostile build copies and splits on purpose")
#    define HOSTILE           true
#else
#    define SKIP_IF_HOSTILE() ((void)0)
#    define HOSTILE           false
#endif

/* Bytes that mcache has handed out and not got back, by class. */
size_t live_bytes(void);
/* Calls of mcache_alloc() made by the library so far. */
size_t alloc_count(void);
/* Lets the nth mcache_alloc() of the library from here fail, once; 0: none. */
void alloc_fail_at(size_t nth);
/* Whether the failure has been delivered; from here on nothing fails. */
bool alloc_failed(void);

/* Lets the next n calls of read(2), sendmsg(2) and writev(2) that the library makes end with EINTR.
 */
void interrupt_calls(int n);

/* Each of these ends the test when the library refuses. */
struct linkbuffer *make_buffer(void);
/* Writes and flushes the pattern from position on, as one window on a block of its own. */
void put(struct linkbuffer *lb, size_t n, size_t position);
/* Puts count pieces of piece bytes. */
void put_pieces(struct linkbuffer *lb, size_t piece, size_t count, size_t position);
/* A window on the last n of used bytes of a 64 KiB block that nobody else shows. */
void put_rest_of_block(struct linkbuffer *lb, size_t n, size_t position);
/* Writes the pattern from position on to a descriptor. */
void send_pattern(int fd, size_t n, size_t position);
struct linkbuffer_stats figures(struct linkbuffer *lb);
/* What is readable, read through linkbuffer_iov(), is n bytes of the pattern from position on. */
bool holds_unread(struct linkbuffer *lb, size_t n, size_t position);

/* Adds one to the int that arg points at. */
void count_call(void *arg);

#endif
