/*
 * The inside of a connection. Its parts: birth and handles (conn.c), the state word (conn_state.c),
 * input (conn_input.c), turns (conn_dispatch.c), the user's calls (conn_read.c), frames
 * (conn_frame.c) and callbacks (conn_call.c), output (conn_output.c), waits (conn_wait.c), time
 * limits (conn_time.c), files (conn_file.c), the transform (conn_codec.c), the poller's look at the
 * whole state (conn_sync.c), the end (conn_end.c), what few of them need (conn_extra.c).
 */
#ifndef NP_CONN_H
#define NP_CONN_H

#include "conn_state.h"
#include "group.h"
#include "poller.h"
#include "socket.h"

#include <linkbuffer/linkbuffer.h>
#include <netpoll/conn.h>
#include <netpoll/error.h>

/* Input up to this that outlives its turn is copied to a block of its own: what fills a 2 KiB size
 * class, so that a message of 1 KiB and its head are among it. See docs/performance.md. */
#define NP_COPY_LIMIT ((size_t)2048 - LINKBUFFER_BLOCK_OVERHEAD)
/* Input up to this that a turn leaves unread is copied out of its block of 64 KiB: a peer's
 * segments must not keep many times their size. */
#define NP_SETTLE_LIMIT ((size_t)16 * 1024)

/* A call to make in the connection's turn or at its end. */
struct np_conn_call {
    struct np_conn_call *next;
    netpoll_conn_fn *fn;
    void *arg;
};

/* Between the descriptor and the buffers. Poller thread. */
struct np_conn_codec {
    const struct netpoll_transform *transform;
    void *state;
    struct linkbuffer *wire_in;  /* came and not decoded; lives as long as the connection */
    struct linkbuffer *wire_out; /* encoded and not sent; likewise */
    bool has_finished;           /* what follows the last byte is in wire_out */
};

/* What few connections need; made when the first of it is asked for, freed with the connection. */
struct np_conn_extra {
    /* By enum netpoll_timeout; 0: as the options say. Written by any thread, followed by a poke. */
    _Atomic int64_t timeouts_ms[4];
    /* Times of CLOCK_MONOTONIC in ms; 0: none. Written likewise, and who waits is woken. */
    _Atomic int64_t deadlines_ms[2]; /* by enum netpoll_deadline */
    /* For the end; pushed to as posts, taken whole by the last turn. */
    _Atomic(struct np_conn_call *) callbacks;
    _Atomic(netpoll_detached_fn *) on_detached; /* set before DETACHED, as is its arg */
    void *on_detached_arg;
    _Atomic size_t file_bytes;  /* of the output; see add_files() */
    struct np_conn_codec codec; /* when its options have a transform; since its birth */
};

struct np_conn_input {
    struct linkbuffer *lb; /* writer: the poller; reader: whoever has the turn, or the holder of a
                              connection without on_request */
    /* Unread bytes that start a turn or end a wait. Written by the reader, read by the poller
     * behind a transition of the state word. */
    _Atomic uint32_t need;
    _Atomic uint32_t frame; /* size of the frame at the head; 0: not known. Ordered as need */
    _Atomic uint64_t bytes; /* received; written by the poller */
    uint32_t consumed;      /* by the running handler; stops at its largest value */
    /* Low halves of the poller's milliseconds. Relaxed: a time out by a moment does no harm. */
    _Atomic uint32_t last_ms;    /* something came or went, or a turn ended */
    _Atomic uint32_t message_ms; /* the message that is not complete began */
    union {
        _Atomic uint32_t request_ms; /* on_request was called */
        _Atomic uint32_t alarm_ms;   /* with on_alarm: when it is due; 0: never */
    };
    /* Why reading cannot go on, -ETIMEDOUT or -EMSGSIZE; 0: it can. Ordered as need. */
    _Atomic int16_t fault;
    /* After the peer's end: the handler has taken what it wants. Ordered as need. */
    _Atomic bool exhausted;
    bool told_connect; /* on_connect has run */
    /* Poller: KiB of blocks that unread input keeps and does not fill, and which block is the last
     * of them: a hash that may be another one's, which then counts too little. */
    uint16_t pinned_kib;
    uint16_t last_block;
};

struct np_conn_output {
    struct linkbuffer *lb; /* writer: the user; reader: the sender */
    /* Low half of the poller's milliseconds when bytes left, or began to wait. Poller. */
    uint32_t progress_ms;
    bool started;           /* poller: the backend asks for output */
    bool sent_fin;          /* poller: SHUT_WR is done */
    _Atomic bool has_files; /* there have been */
};

enum np_conn_phase {
    NP_PHASE_OPEN,
    NP_PHASE_DRAIN,   /* what is queued is being sent */
    NP_PHASE_LINGER,  /* sent; what still comes is thrown away, so that the answer survives */
    NP_PHASE_REMOVED, /* the backend is letting go */
    NP_PHASE_GONE,    /* it has */
    NP_PHASE_ENDED,
};

struct np_conn_end {
    _Atomic uint8_t reason; /* enum netpoll_close_reason; the first one to set it wins */
    uint8_t phase;          /* poller: enum np_conn_phase */
    bool told_cancel;       /* poller */
    _Atomic bool is_timed;  /* poller: its timer is near enough; a hint for the others */
    /* Poller: low half of the milliseconds */
    union {
        uint32_t rests_ms;   /* OPEN: when receiving began to rest, or went on */
        uint32_t closing_ms; /* later: when DRAIN began */
    };
};

struct netpoll_conn {
    struct np_fd fd; /* first: the backend's view */
    struct np_conn_state state;
    _Atomic uint32_t refs;    /* memory: one for the connection's life, one for each handle */
    _Atomic uint32_t handles; /* netpoll_conn_retain() less netpoll_conn_release() */
    struct np_group *group;   /* whose options it has */
    struct np_conn_input input;
    struct np_conn_output output;
    struct np_conn_end end;
    struct np_timer timer;                 /* poller: the one that all its time limits share */
    _Atomic(struct np_conn_extra *) extra; /* NULL: none */
    /* Pushed to with release by posters, taken whole with acquire by whoever has the turn. */
    _Atomic(struct np_conn_call *) posts;
    struct np_work poke_work;
    union {
        struct np_work turn_work; /* the turn is on its way to the poller */
        struct gopool_task task;  /* or to the pool */
    };
    void *data;
    uint64_t id;
};

/* With two empty buffers of 128 bytes an idle connection takes 512. */
_Static_assert(sizeof(struct netpoll_conn) <= 256, "a connection fits a block of 256 bytes");

/* conn.c. Takes the descriptor on success, when the group has counted the connection and the poller
 * too. handle: the connection, retained; NULL: nobody wants it. Poller thread. */
int np_conn_open(struct np_group *group, struct np_poller *poller, const struct np_socket *socket,
                 struct netpoll_conn **handle);
void np_conn_unref(struct netpoll_conn *conn);
/* Counts one on behalf of a thread that has but a handle: with the end of the connection the poller
 * may be gone. Any thread. */
void np_conn_count(struct netpoll_conn *conn, _Atomic uint64_t *counter);

/* conn_input.c. Poller thread. */
int np_conn_input_lend(struct np_fd *fd, struct iovec *iov);
void np_conn_input_done(struct np_fd *fd, int64_t result);
bool np_conn_input_adopt(struct np_fd *fd, struct linkbuffer_block *block, void *data, uint32_t n);
/* Receives or not, as the state says. */
void np_conn_input_sync(struct netpoll_conn *conn);

/* conn_dispatch.c. */
/* There may be something to do in a turn: gives it to whoever is due. Any thread. */
void np_conn_dispatch(struct netpoll_conn *conn);
/* The same after n bytes of input; the poller runs an inline handler before it returns. Poller
 * thread. */
void np_conn_dispatch_input(struct netpoll_conn *conn, size_t n);
/* Unread bytes are waiting for a turn, whatever holds it up. Poller thread, the turn idle. */
bool np_conn_is_request_due(const struct netpoll_conn *conn, uint64_t word);
/* Input stopped at its bound and has fallen far enough. Poller, or who reads without a turn. */
bool np_conn_may_resume_input(const struct netpoll_conn *conn);
/* Calls a callback other than on_request, which may read as well. Turn. */
void np_conn_call_in_turn(struct netpoll_conn *conn, netpoll_conn_fn *fn, void *arg);
void np_conn_turn_work(struct np_work *work);
void np_conn_turn_task(void *arg);

/* conn_read.c. 0 when n bytes are unread; otherwise what a reader is told, and need is n for the
 * next turn. Turn, or who reads a connection without on_request. */
int np_conn_want(struct netpoll_conn *conn, size_t n);
/* Offset of the first delimiter, or what a reader is told who wants more than was searched.
 * Likewise. */
ssize_t np_conn_find(struct netpoll_conn *conn, uint8_t delimiter);

/* conn_frame.c. Finds the size of the frame at the head, if it is not known: 0; or what a reader is
 * told. Turn, or as above. */
int np_conn_measure_frame(struct netpoll_conn *conn);

/* conn_codec.c. Poller thread. */
/* Makes what the transform of the options needs, if there is one, before anybody has the
 * connection. 0 or -ENOMEM: what has been made goes with the connection. */
int np_conn_codec_create(struct netpoll_conn *conn);
/* Begins the transform. 0 or -errno. */
int np_conn_codec_open(struct netpoll_conn *conn);
void np_conn_codec_close(struct netpoll_conn *conn);
/* NULL: no transform. Any thread. */
struct np_conn_codec *np_conn_codec(const struct netpoll_conn *conn);
/* Decodes what has come in a block, and sends what the peer gets for it. 0 or -errno. */
int np_conn_decode(struct netpoll_conn *conn, struct linkbuffer_block *block, void *data, size_t n);
/* What is to be sent: encodes of the output as much as may wait. NULL: it failed. */
struct linkbuffer *np_conn_encode(struct netpoll_conn *conn);
/* Encodes the end of the output. True: it has been sent, or there is none. */
bool np_conn_finish_output(struct netpoll_conn *conn);

/* conn_time.c. */
/* Arms the timer for the first limit to come; acts on those that have passed. Poller thread. */
void np_conn_time_sync(struct netpoll_conn *conn);
void np_conn_time_up(struct np_timer *timer);
/* Receiving rests from now on, or goes on: time limits of reading and idleness do likewise. Poller
 * thread. */
void np_conn_time_rests(struct netpoll_conn *conn, bool rests);
/* Milliseconds of CLOCK_MONOTONIC, as the wheel counts them. Any thread. */
uint64_t np_conn_now_ms(const struct netpoll_conn *conn);
/* What holds for this connection; NETPOLL_TIMEOUT_NONE: none. Any thread. */
int64_t np_conn_timeout_ms(const struct netpoll_conn *conn, enum netpoll_timeout which);
/* The same, in milliseconds of CLOCK_MONOTONIC; 0: none. */
int64_t np_conn_deadline_ms(const struct netpoll_conn *conn, enum netpoll_deadline which);
/* Makes it if need be: 0; -ENOMEM; -ENOTCONN when the connection has ended without. Any thread. */
int np_conn_extra(struct netpoll_conn *conn, struct np_conn_extra **out);
/* The one of connections that have ended without: nothing is in it, and nothing can be put there.
 */
extern struct np_conn_extra np_conn_no_extra;

/* conn_output.c. */
int np_conn_output_lend(struct np_fd *fd, struct iovec *iov, int max);
void np_conn_output_done(struct np_fd *fd, int64_t result);
/* The poller is the sender: sends what is queued. Poller thread. */
void np_conn_output_send(struct netpoll_conn *conn);
/* Flushed, and not taken by the kernel. Any thread. */
size_t np_conn_unsent(const struct netpoll_conn *conn);
/* Nothing flushed is left, and nobody sends. Poller thread. */
bool np_conn_output_is_idle(const struct netpoll_conn *conn);

/* 0 when output may be added. Who writes. */
int np_conn_may_write(const struct netpoll_conn *conn);

/* conn_file.c. The sender, but for np_conn_output_held(). */
/* Whether there have been files in the output. */
static inline bool np_conn_has_files(const struct netpoll_conn *conn)
{
    /* Relaxed: set before the flush that shows the first of them. */
    return atomic_load_explicit(&conn->output.has_files, memory_order_relaxed);
}
/* Flushed, not taken by the kernel, and in memory. Any thread. */
size_t np_conn_output_held(const struct netpoll_conn *conn);
/* n bytes of lb are about to be consumed: all of them a file's, or none. */
void np_conn_note_sent(struct netpoll_conn *conn, struct linkbuffer *lb, size_t n);
/* Reads what of the next max bytes of the output is a file's. 0; -EIO or -ENOMEM, which has ended
 * the connection. */
int np_conn_load_files(struct netpoll_conn *conn, size_t max);
/* Sends once what linkbuffer_iov() has shown of lb, n windows, or when it shows none from the file
 * that is next. Bytes; 0: there is nothing; -EINTR: there is something else now; -ETIME: no more of
 * a file than *share, which is used up; -errno. */
ssize_t np_conn_try_output(struct netpoll_conn *conn, struct linkbuffer *lb,
                           const struct iovec *iov, int n, size_t *share);
/* Bytes in front of the first file; -ENOENT: there is none. */
ssize_t np_conn_find_file(struct netpoll_conn *conn, struct linkbuffer *lb);
/* As the backends ask for it, when that is 0. */
ssize_t np_conn_output_send_file(struct np_fd *fd, size_t max);

/* conn_end.c. */
/* Closes for this reason; with NP_CONN_ABORTED without draining. Any thread. 0 or -ENOTCONN. */
int np_conn_close(struct netpoll_conn *conn, enum netpoll_close_reason reason, uint32_t bits);
/* The system refused: logs and aborts. Any thread. */
void np_conn_fail(struct netpoll_conn *conn, int error, const char *what);
void np_conn_set_reason(struct netpoll_conn *conn, enum netpoll_close_reason reason);
/* CLOSING: the next step that is due. Poller thread. May free the connection. */
void np_conn_go_on_ending(struct netpoll_conn *conn);
/* Tells on_cancel, once. Poller thread. */
void np_conn_cancel(struct netpoll_conn *conn);
void np_conn_closed(struct np_fd *fd);
/* The last turn: on_disconnect and the close callbacks. May free the connection. */
void np_conn_finish(struct netpoll_conn *conn);

/* conn_sync.c. */
/* Delivers a poke that a transition asked for. Any thread; the last touch of conn. */
void np_conn_poke(struct netpoll_conn *conn);
void np_conn_poke_work(struct np_work *work);
/* Looks at the whole state and does what is due. Poller thread. May free the connection. */
void np_conn_sync(struct netpoll_conn *conn);
/* Its group shuts down: it closes as soon as it is idle. Poller thread. */
void np_conn_begin_shutdown(struct netpoll_conn *conn);

/* conn_call.c. Turn. */
/* Calls a callback and contains its panic, which closes the connection. */
void np_conn_call(struct netpoll_conn *conn, netpoll_conn_fn *fn, void *arg);
/* Runs what was posted; false: nothing was. */
bool np_conn_run_posts(struct netpoll_conn *conn);
/* on_disconnect and on_detached, when given, then the close callbacks, last added first; none can
 * be added any more. */
void np_conn_run_end_callbacks(struct netpoll_conn *conn, netpoll_disconnect_fn *on_disconnect,
                               netpoll_conn_fn *on_detached);

/* See netpoll_conn_need_nothing(); above every max_message_bytes. */
#define NP_NEED_NOTHING UINT32_MAX

/* Relaxed, all four: ordered by the state word, see struct np_conn_input. */
static inline size_t np_conn_need_of(const struct netpoll_conn *conn)
{
    return atomic_load_explicit(&conn->input.need, memory_order_relaxed);
}

static inline void np_conn_set_need(struct netpoll_conn *conn, size_t need)
{
    atomic_store_explicit(&conn->input.need, (uint32_t)need, memory_order_relaxed);
}

static inline size_t np_conn_frame(const struct netpoll_conn *conn)
{
    return atomic_load_explicit(&conn->input.frame, memory_order_relaxed);
}

static inline void np_conn_set_frame(struct netpoll_conn *conn, size_t bytes)
{
    atomic_store_explicit(&conn->input.frame, (uint32_t)bytes, memory_order_relaxed);
}

/* Something came, went or was done: idleness begins anew. */
static inline void np_conn_note_activity(struct netpoll_conn *conn)
{
    /* The clock is not free of cost, nor is the poller's line for other threads. Relaxed: see
     * struct np_conn_input. */
    if (np_conn_timeout_ms(conn, NETPOLL_IDLE_TIMEOUT) != NETPOLL_TIMEOUT_NONE)
        atomic_store_explicit(&conn->input.last_ms, (uint32_t)np_conn_now_ms(conn),
                              memory_order_relaxed);
}

#endif
