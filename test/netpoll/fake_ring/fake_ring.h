/*
 * A ring without a kernel. The exported calls of liburing, replaced by the linker, work on memory
 * of this process: what the backend submits becomes an operation that the test completes as it
 * likes, and buffers are taken in the order of their ring, as the kernel takes them.
 *
 * Completions are deferred as with IORING_SETUP_DEFER_TASKRUN: they show in the queue when the
 * backend waits, at most 20 at a time. What breaks a rule of the interface fails the test: two
 * last completions of one operation, two receives or two sends in flight on one descriptor, a
 * receive that would not wait for bytes.
 *
 * One ring and one thread per process; Criterion gives each test a process of its own.
 */
#ifndef FAKE_RING_H
#define FAKE_RING_H

#include <liburing.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAKE_RING_FOR_EVER UINT32_MAX
/* Completions that one call of io_uring_enter(2) shows; see IO_LOCAL_TW_DEFAULT_MAX in Linux. */
#define FAKE_RING_PASS 20U

struct fake_op {
    struct io_uring_sqe sqe;
    bool has_ended; /* its last completion has been posted */
};

/* What a kernel says next. */
struct fake_answer {
    int res;
    unsigned flags;
    char byte; /* with IORING_CQE_F_BUFFER: what it writes; 0: 'x' */
};

/* Each wait that has nothing to show gives the next of these, whatever was submitted. They are the
 * caller's until then. */
void fake_ring_answer(const struct fake_answer *answers, size_t count);
/* A ring with more submission entries than this is too large for memory; 0: none is. */
void fake_ring_limit_setup(unsigned entries);
/* Registering a ring of buffers fails with this; 0: it does not. */
void fake_ring_refuse_buffers(int status);

/* The newest operation of this kind on this descriptor that has not ended; NULL: none. */
struct fake_op *fake_ring_find(uint8_t opcode, int fd);
/* The poll on this descriptor that has not ended: the one for input, or the one for hang-up alone;
 * NULL: none. */
struct fake_op *fake_ring_find_poll(int fd, bool of_input);
/* The poll for room in the socket. */
struct fake_op *fake_ring_find_output_poll(int fd);
/* The newest cancellation of this operation that has not ended; NULL: none. */
struct fake_op *fake_ring_find_cancel(const struct fake_op *target);
/* Operations of this kind that were ever submitted. */
size_t fake_ring_submitted(uint8_t opcode);
/* Operations that have not ended. */
size_t fake_ring_in_flight(void);

/* Posts a completion. Without IORING_CQE_F_MORE in flags it is the operation's last one. */
void fake_ring_complete(struct fake_op *op, int res, unsigned flags);
/* Takes the next buffer, writes the text into it and posts its length. The buffer's id. */
uint16_t fake_ring_receive(struct fake_op *op, const char *text, unsigned flags);
/* Takes the next buffer and posts res with it, whatever is in it. */
void fake_ring_complete_with_buffer(struct fake_op *op, int res, unsigned flags);
/* Posts a completion that no operation of this ring stands for, with a buffer taken for it. */
void fake_ring_post_stale(uint64_t user_data, int res);
/* Answers a cancellation as the kernel does: its target ends with -ECANCELED, or -ENOENT. */
void fake_ring_obey(struct fake_op *cancel);
/* The same with every cancellation that is in flight. */
void fake_ring_obey_all(void);

/* Buffers in the ring. */
size_t fake_ring_buffers(void);
/* That many, each of them once and with memory of its own. */
bool fake_ring_has_buffers(size_t count);

/* No entry of the submission queue can be had until this many submissions have been made. */
void fake_ring_refuse_entries(uint32_t submissions);
/* No more than this many entries can be had, and no submission succeeds, until entries are refused
 * 0 times. */
void fake_ring_leave_entries(unsigned count);
/* Room in the completion queue; what does not fit waits in order, as with IORING_FEAT_NODROP. */
void fake_ring_limit_completions(unsigned count);
/* So many completions are shown by each wait: one receive may have taken several blocks. */
void fake_ring_show(unsigned count);
/* The next wait does nothing but return this. */
void fake_ring_fail_wait(int status);
/* What the last wait asked for, in nanoseconds; negative: for ever. */
int64_t fake_ring_last_timeout(void);
/* Completions that a wait has not shown yet. */
bool fake_ring_has_deferred(void);

#endif
