/*
 * How a stream receives. Short messages come best into the ring of blocks: no system call of their
 * own. Long ones, and those whose receive would have to be canceled or armed again all the time,
 * are read into what the owner lends when a poll says that there is something.
 *
 * Poller thread.
 */
#ifndef NP_URING_RECEIVE_H
#define NP_URING_RECEIVE_H

#include "uring_operation.h"

/* A completion of the operation that input comes with; its end has been noted. */
void np_uring_stream_completed(struct np_uring *state, struct np_fd *fd,
                               const struct io_uring_cqe *cqe);
/* A completion of the poll for hang-up. */
void np_uring_hangup_completed(struct np_fd *fd, const struct io_uring_cqe *cqe);
/* Input is wanted again, or not any more. */
void np_uring_stream_set_input(struct np_uring *state, struct np_fd *fd, bool wanted);
/* Reads what was left for this round, as much as there is or its share. */
void np_uring_run_ready(struct np_uring *state);

#endif
