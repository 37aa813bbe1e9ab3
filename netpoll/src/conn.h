/*
 * The inside of a connection. Its parts: birth and handles (conn.c), input (conn_input.c), turns
 * (conn_dispatch.c), the user's calls (conn_read.c) and callbacks (conn_call.c), output
 * (conn_output.c), the poller's look at the whole state (conn_sync.c), the end (conn_end.c).
 */
#ifndef NP_CONN_H
#define NP_CONN_H

#include "conn_state.h"
#include "group.h"
#include "poller.h"
#include "socket.h"

#include <linkbuffer/linkbuffer.h>
#include <netpoll/conn.h>

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

struct np_conn_input {
    struct linkbuffer *lb; /* writer: the poller; reader: whoever has the turn */
    /* Unread bytes that start a turn. Written by whoever has the turn, read by the poller when
     * the turn is idle: ordered by the state word. */
    _Atomic size_t need;
    _Atomic uint64_t bytes; /* received; written by the poller */
    size_t consumed;        /* by the running handler */
    /* After the peer's end: the handler has taken what it wants. Ordered as need. */
    _Atomic bool exhausted;
    bool told_connect; /* on_connect has run */
};

struct np_conn_output {
    struct linkbuffer *lb; /* writer: the user; reader: the sender */
    bool started;          /* poller: the backend asks for output */
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
    _Atomic int reason;       /* enum netpoll_close_reason; the first one to set it wins */
    enum np_conn_phase phase; /* poller */
    bool told_cancel;         /* poller */
    struct np_timer deadline; /* poller: of DRAIN and LINGER together */
    struct np_conn_call *callbacks;
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
    /* Pushed to with release by posters, taken whole with acquire by whoever has the turn. */
    _Atomic(struct np_conn_call *) posts;
    struct np_work poke_work;
    struct np_work turn_work;
    struct gopool_task task;
    void *data;
    uint64_t id;
    struct netpoll_conn *next; /* on the poller's list */
    struct netpoll_conn **link;
};

/* conn.c. Takes the descriptor on success, when the group has counted the connection and the poller
 * too. handle: the connection, retained; NULL: nobody wants it. Poller thread. */
int np_conn_open(struct np_group *group, struct np_poller *poller, const struct np_socket *socket,
                 struct netpoll_conn **handle);
void np_conn_unref(struct netpoll_conn *conn);

/* conn_input.c. Poller thread. */
int np_conn_input_lend(struct np_fd *fd, struct iovec *iov);
void np_conn_input_done(struct np_fd *fd, int64_t result);
void np_conn_input_adopt(struct np_fd *fd, struct linkbuffer_block *block, void *data, uint32_t n);
/* Receives or not, as the state says. */
void np_conn_input_sync(struct netpoll_conn *conn);

/* conn_dispatch.c. */
/* There may be something to do in a turn: gives it to whoever is due. Any thread. */
void np_conn_dispatch(struct netpoll_conn *conn);
/* The same after input; the poller runs an inline handler before it returns. Poller thread. */
void np_conn_dispatch_input(struct netpoll_conn *conn);
/* Unread bytes are waiting for a turn, whatever holds it up. Poller thread, the turn idle. */
bool np_conn_is_request_due(const struct netpoll_conn *conn, uint32_t word);
/* Input stopped at its bound and has fallen far enough. Poller thread. */
bool np_conn_may_resume_input(const struct netpoll_conn *conn);
void np_conn_turn_work(struct np_work *work);
void np_conn_turn_task(void *arg);

/* conn_output.c. */
int np_conn_output_lend(struct np_fd *fd, struct iovec *iov, int max);
void np_conn_output_done(struct np_fd *fd, int64_t result);
/* The poller is the sender: sends what is queued. Poller thread. */
void np_conn_output_send(struct netpoll_conn *conn);
/* Nothing flushed is left, and nobody sends. Poller thread. */
bool np_conn_output_is_idle(const struct netpoll_conn *conn);

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
void np_conn_deadline(struct np_timer *timer);
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
/* on_disconnect, when given, then the close callbacks, last added first. */
void np_conn_run_end_callbacks(struct netpoll_conn *conn, netpoll_disconnect_fn *on_disconnect);

#endif
