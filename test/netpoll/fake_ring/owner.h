/*
 * A poller without a thread, on the fake ring, and owners of descriptors that write down what the
 * backend tells them. The descriptors are numbers only: no system call reaches them.
 *
 * What the contract of struct np_fd_ops forbids fails the test at once: input or output after
 * closed() or after the end of input, closed() twice or with an operation in flight.
 */
#ifndef OWNER_H
#define OWNER_H

#include "fake_alloc.h"
#include "fake_ring.h"
#include "fake_socket.h"

#include "backend.h"
#include "poller.h"

#include <linkbuffer/block.h>

#define OWNER_INPUT_MAX 1024U
#define OWNER_KEPT_MAX  1024U
#define OWNER_LENT_MAX  ((size_t)64 * 1024)
/* Blocks in the ring at the start. */
#define RING_LEAST 32U

struct owner;

/* Called after an event has been written down. */
typedef void owner_react_fn(struct owner *owner);

struct owner {
    struct np_fd fd; /* first: the backend's view */

    char input[OWNER_INPUT_MAX]; /* what came, in order, as a string */
    size_t input_len;
    bool counts_input; /* only its length is kept */
    owner_react_fn *on_input;
    const char *lent;  /* where bytes that are read may land */
    int lend_status;   /* of lend_input() */
    bool keeps_blocks; /* retains every block that bytes came in */
    struct linkbuffer_block *kept[OWNER_KEPT_MAX];
    size_t kept_count;

    unsigned end_count; /* results that end a stream, or errors of a listener */
    int64_t end;        /* the last of them */
    owner_react_fn *on_end;
    unsigned accept_count; /* results >= 0 of a listener; of a poll: events */
    int64_t accepted;      /* the last of them */

    size_t file_bytes;   /* what is left of a file, in front of the text */
    ssize_t file_result; /* what one attempt at it gives, at most */
    unsigned file_tries;
    const char *output; /* what is left to send */
    unsigned output_count;
    int64_t output_result; /* of the last send */
    owner_react_fn *on_output;
    owner_react_fn *on_output_empty; /* lend_output() has nothing to give */

    unsigned closed_count;
};

extern struct np_poller poller;

/* Opens the poller. */
void rig_open(void);
/* Closes it, and checks that nothing is left: no operation in flight, every buffer in the ring
 * once, no memory. The last line of a test: Criterion does not count what fails in a fixture. */
void rig_close(void);

void owner_open(struct owner *owner, enum np_fd_kind kind, int fd);
/* The same, with input wanted and the receive, accept or poll in flight. */
void owner_open_armed(struct owner *owner, enum np_fd_kind kind, int fd);
void owner_want_input(struct owner *owner, bool wanted);
/* Starts to send this text; it is the caller's until it has been sent. */
int owner_start_output(struct owner *owner, const char *text);
void owner_drop_kept(struct owner *owner);
void owner_remove(struct owner *owner);
/* Removes, lets every cancellation succeed and waits for closed(). */
void owner_close(struct owner *owner);

/* Blocks that the backend wants in the ring, and that all of them are there. */
size_t ring_target(void);
void expect_full_ring(void);

/* One wait of the poller, which would sleep for ever if it may. */
void wait_once(void);
/* Waits until every completion that was posted has been told. */
void wait_all(void);
/* Lets every cancellation that is asked for succeed, and waits for what follows. */
void wait_for_cancellations(void);

/* The live operation of an owner; NULL: none. */
struct fake_op *receive_of(const struct owner *owner);
struct fake_op *hangup_of(const struct owner *owner);
/* The poll that tells that there is something to read. */
struct fake_op *input_poll_of(const struct owner *owner);
struct fake_op *send_of(const struct owner *owner);
/* The poll that tells that a file can be sent. */
struct fake_op *output_poll_of(const struct owner *owner);

#endif
