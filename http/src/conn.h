/*
 * The inside of an HTTP connection. Its parts: birth, time limits and end (conn.c), input to
 * requests (input.c, body.c), a request's life (request.c), what a handler asks (message.c) and
 * says (response.c), and how that becomes bytes (writer.c). Bodies that are read while they come:
 * upload.c.
 *
 * Everything here belongs to the connection's turn on the poller, but for `work`, `rests_ms`, and
 * the request while its handler has it.
 */
#ifndef HS_CONN_H
#define HS_CONN_H

#include "server.h"

#include <netpoll/conn.h>
#include <nhttp/head.h>

#include <stdatomic.h>

struct nhttp_request;

enum hs_phase {
    HS_PHASE_HEAD,   /* the next head is awaited, or has begun */
    HS_PHASE_BODY,   /* the body of the request is coming; no handler has it yet */
    HS_PHASE_WORK,   /* a handler has the request, on another thread or until it is finished */
    HS_PHASE_DRAIN,  /* answered before its body was there; the rest of that is thrown away */
    HS_PHASE_LINGER, /* the last answer has been written; what comes is thrown away */
    HS_PHASE_OVER,   /* nothing more is read, or somebody else reads */
};

/* Between the poller and the thread that answers. */
enum hs_work {
    HS_WORK_ANSWERED = 1 << 0, /* that thread is through with the connection */
    HS_WORK_LOOKING = 1 << 1,  /* the poller uses the request: it must not go */
    HS_WORK_AWAITED = 1 << 2,  /* the poller has something to do then: it wants to be told */
};

/* A head that has begun. */
struct hs_partial {
    struct nhttp_head_parser parser;
    struct nhttp_field table[];
};

struct hs_conn {
    struct netpoll_conn *conn;
    struct nhttp_server *server;
    struct nhttp_request *request; /* BODY, WORK, DRAIN */
    struct hs_partial *partial;    /* HEAD; NULL: nothing of it has come */
    _Atomic uint32_t refs;         /* one of the connection, one for each request elsewhere */
    _Atomic uint32_t work;         /* enum hs_work */
    /* Low halves of hs_now_ms(). */
    _Atomic uint32_t rests_ms; /* HEAD: when the last answer was written */
    uint32_t began_ms;         /* otherwise: when the phase, or the head, began */
    uint32_t opened_ms;
    uint32_t progress_ms;  /* of a body: when the last of it came, or was wanted again */
    uint32_t age_limit_ms; /* UINT32_MAX: none */
    uint32_t request_count;
    uint8_t phase;
    _Atomic uint8_t state; /* enum nhttp_conn_state: what on_state was told last */
    bool is_last;          /* no request may follow */
    bool was_logged;       /* WORK: the watchdog has told */
    bool is_streaming;     /* WORK: the request has an upload, and is not freed by who answers */
    bool needs_nothing;    /* netpoll_conn_need_nothing() is in force */
    bool is_held;          /* it retains its connection: a request has begun */
    bool is_counted;       /* in the addresses' table */
    uint64_t address[2];   /* whose */
};

/* conn.c */
void hs_conn_begin(struct netpoll_conn *conn, void *arg);
void hs_conn_end(struct netpoll_conn *conn, enum netpoll_close_reason reason, void *arg);
void hs_conn_cancel(struct netpoll_conn *conn, void *arg);
void hs_conn_alarm(struct netpoll_conn *conn, void *arg);
void hs_conn_make_room(struct netpoll_conn *conn, void *arg);
void hs_conn_ref(struct hs_conn *c);
void hs_conn_unref(struct hs_conn *c);
/* A request has begun: an end of the server waits for it. */
void hs_conn_hold(struct hs_conn *c);
void hs_conn_let_go(struct hs_conn *c);
/* A new phase begins now; an alarm looks after its first time limit. */
void hs_conn_enter(struct hs_conn *c, enum hs_phase phase);
/* Acts on the time limits of the phase that have passed, and looks after the next one. */
void hs_conn_look(struct hs_conn *c);
void hs_conn_tell_state(struct hs_conn *c, enum nhttp_conn_state state);
/* The last answer has been written: closes when it has left and the client has stopped. */
void hs_conn_finish(struct hs_conn *c, bool client_sends);
/* Whether the answer to the present request must be the last. */
bool hs_conn_is_last(struct hs_conn *c);

/* input.c */
void hs_on_input(struct netpoll_conn *conn, void *arg);
/* The request in work has been answered, by another thread: the connection goes on. */
void hs_go_on(struct netpoll_conn *conn, void *arg);
/* Refuses what has come, with a status, and ends the connection behind it. */
void hs_refuse(struct hs_conn *c, int status);
/* The same of a body whose handler has the request already: it is overruled, or its answer is the
 * last one. */
void hs_refuse_upload(struct hs_conn *c, int status);
/* The body of the request, or what is left of it, will not come. */
void hs_drop_request(struct hs_conn *c);
/* Ends a connection whose request has been answered. */
void hs_stop_drain(struct hs_conn *c, bool client_sends);

#endif
