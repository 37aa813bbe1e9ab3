/*
 * A watched descriptor and the questions its owner answers.
 *
 * The backend moves the bytes: it asks the owner where they may land or lie, makes the system
 * call, and tells the result. Every question arrives on the poller thread.
 */
#ifndef NP_FD_H
#define NP_FD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct iovec;
struct linkbuffer_block;
struct np_fd;
struct np_poller;

/* What lend_output() gives when the next bytes are not in memory. */
#define NP_OUTPUT_FILE (-1)

enum np_fd_kind {
    NP_FD_STREAM, /* bytes: every question may be asked */
    NP_FD_ACCEPT, /* a listener: input_done() gets an accepted descriptor */
    NP_FD_POLL,   /* readiness only: input_done() gets poll(2) events, the owner reads */
    NP_FD_WATCH,  /* poll_events of poll(2), told once to input_done() each time input is wanted */
};

struct np_fd_ops {
    /* Where bytes may land: 0, or -errno, which input_done() gets. */
    int (*lend_input)(struct np_fd *fd, struct iovec *iov);
    /* What came into the lent memory: bytes, 0 for the end, -errno. */
    void (*input_done)(struct np_fd *fd, int64_t result);
    /* Bytes that came into a block of the backend's; the owner retains the block to keep them. Also
     * after remove(), for those that came before the kernel let go. True: no handler is at work
     * now. */
    bool (*adopt_input)(struct np_fd *fd, struct linkbuffer_block *block, void *data, uint32_t n);
    /* What is to be sent; 0: nothing, the backend stops asking until start_output();
     * NP_OUTPUT_FILE: what send_file() sends. */
    int (*lend_output)(struct np_fd *fd, struct iovec *iov, int max);
    /* One attempt at up to max bytes, when the owner has said so: bytes or -errno, which
     * output_done() gets unless it is -EAGAIN. */
    ssize_t (*send_file)(struct np_fd *fd, size_t max);
    /* What was sent of it: bytes or -errno. */
    void (*output_done)(struct np_fd *fd, int64_t result);
    /* After remove(): nothing refers to fd any more. Only from here on may it be freed. */
    void (*closed)(struct np_fd *fd);
};

/* Flags of the backend that watches the descriptor. Those of one backend alone say so; two of them
 * share a bit. */
enum np_fd_flags {
    NP_FD_WATCHED = 1 << 0,
    NP_FD_INPUT_WANTED = 1 << 1,
    NP_FD_OUTPUT_WANTED = 1 << 2,
    NP_FD_REMOVED = 1 << 3,          /* closed() is due */
    NP_FD_LISTED = 1 << 4,           /* on one of the backend's lists */
    NP_FD_READABLE = 1 << 5,         /* an edge came and the socket was not drained since */
    NP_FD_HUNG_UP = 1 << 6,          /* the peer's end, or an error, has been seen */
    NP_FD_UNIX = 1 << 7,             /* a unix socket */
    NP_FD_INPUT_ARMED = 1 << 8,      /* io_uring: a receive or accept is in flight */
    NP_FD_INPUT_CANCELED = 1 << 9,   /* io_uring: its cancellation has been asked for */
    NP_FD_HANGUP_ARMED = 1 << 10,    /* io_uring: a poll for hang-up is in flight */
    NP_FD_INPUT_ENDED = 1 << 11,     /* io_uring: the owner has been told the end of input */
    NP_FD_WRITABLE = 1 << 11,        /* epoll: its share ended before the socket was full */
    NP_FD_OUTPUT_ARMED = 1 << 12,    /* io_uring: a send is in flight */
    NP_FD_HANGUP_CANCELED = 1 << 13, /* io_uring: as INPUT_CANCELED, of the poll */
    NP_FD_OUTPUT_CANCELED = 1 << 14, /* io_uring: as INPUT_CANCELED, of the send */
    NP_FD_STARVED = 1 << 15,         /* io_uring: its receive found no block to land in */
};

struct np_fd {
    int fd;
    uint8_t kind;
    uint8_t in_flight; /* operations that the kernel may still complete */
    uint16_t flags;
    uint32_t slot;      /* in the poller's table */
    uint8_t mode;       /* io_uring: how input is to come, enum np_uring_mode */
    uint8_t armed_mode; /* io_uring: the same of the operation in flight */
    uint8_t score;      /* io_uring: how much speaks for another mode, see uring_receive.c */
    union {
        uint8_t poll_events;      /* of NP_FD_WATCH */
        struct {                  /* io_uring, of NP_FD_STREAM */
            uint8_t quiet : 7;    /* looks at it since input came last */
            uint8_t is_fresh : 1; /* its receive has not emptied the socket since it was armed */
        };
    };
    const struct np_fd_ops *ops;
    struct np_poller *poller;
    struct np_fd *next; /* on one of the backend's lists */
    void *operation;    /* the backend's memory for what is in flight */
};

#endif
