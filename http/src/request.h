/*
 * A request from its head to its answer.
 *
 * It is made by the poller and belongs to the connection's turn until a handler gets it. One that
 * is finished before its handler returns on the poller never leaves that thread; any other is
 * shared: then the connection, the call of the handler and nhttp_request_finish() have a count
 * each.
 */
#ifndef HS_REQUEST_H
#define HS_REQUEST_H

#include "conn.h"

#include <gopool/gopool.h>
#include <linkbuffer/linkbuffer.h>
#include <nhttp/chunked.h>
#include <nhttp/request.h>
#include <nhttp/response.h>

/* Who answers: the first one to say so. */
enum hs_claim {
    HS_CLAIM_NONE,
    HS_CLAIM_HANDLER,
    HS_CLAIM_POLLER, /* a time limit, or a pool that is full: what the handler says is dropped */
};

enum hs_cancel {
    HS_CANCEL_NONE,
    HS_CANCEL_WANTED, /* there is a function to call */
    HS_CANCEL_DONE,
};

/* Of the connection's output. */
enum hs_room {
    HS_ROOM_THERE,
    HS_ROOM_NONE,   /* the last flush has said so */
    HS_ROOM_WANTED, /* and there is a function to call */
};

/* Bytes that are being put together. */
struct hs_lines {
    char *data;
    uint32_t len;
    uint32_t capacity;
};

/* Memory of values that have been decoded. */
struct hs_decoded {
    struct hs_decoded *next;
    char bytes[];
};

enum hs_body {
    HS_BODY_WHOLE,
    HS_BODY_COMING,
    HS_BODY_BROKEN, /* nothing of it is taken any more */
};

/* Trailer fields that have come. */
struct hs_trailers {
    struct nhttp_head head;
    const char *bytes; /* what the spans point into */
    /* followed by the fields, the bytes */
};

/* With an upload these are the poller's alone. */
struct hs_body_in {
    struct linkbuffer *lb; /* NULL: nothing of it has come, or all has been given to the upload */
    uint8_t state;         /* enum hs_body */
    bool is_resting;       /* the upload has no room */
    uint64_t bytes;        /* that have come, decoded */
    uint64_t left;         /* with a length: still to come */
    uint32_t rests_ms;     /* since when */
    uint32_t rested_ms;    /* how long before */
    struct nhttp_chunked chunked;
    struct hs_trailers *trailers; /* NULL: none */
};

/* A body is one of these, or there is none. */
struct hs_body_out {
    struct linkbuffer *lb;  /* anything */
    struct hs_lines copy;   /* a little, by nhttp_response_write() */
    struct nhttp_text text; /* memory that need not be given back */
};

/* None is taken out of the list before the request ends: the poller may look through it beside the
 * handler, in a function of nhttp_request_on_cancel(). */
struct hs_value {
    struct hs_value *next; /* older */
    _Atomic(void *) value; /* NULL: taken away */
    void (*destroy)(void *value);
    char key[];
};

struct nhttp_request {
    struct hs_conn *c;
    _Atomic uint32_t refs;
    _Atomic uint8_t claim;  /* enum hs_claim */
    _Atomic uint8_t cancel; /* enum hs_cancel */
    _Atomic uint8_t room;   /* enum hs_room */
    bool is_in_head;        /* on_head has it */
    bool is_refused;        /* by the server: the answer is no handler's */
    bool is_shared;
    bool is_deferred;
    bool is_finished;         /* nhttp_request_finish() has been called */
    _Atomic bool has_started; /* its handler has been called */
    /* What the response says; the handler's. */
    bool closes;
    bool has_type, has_date, has_server; /* lines has such a field */
    bool is_claimed;                     /* by the handler, before its end */
    bool is_head_sent;                   /* the body has begun */
    bool is_last;                        /* as the head has said */
    bool is_chunked;
    bool is_mute;    /* nothing of the body is sent */
    bool has_failed; /* it must not look complete */
    uint16_t status;
    uint64_t sent;     /* bytes of the body that has begun */
    int64_t announced; /* NHTTP_LENGTH_UNKNOWN */
    const char *type;  /* borrowed; NULL: the default */
    struct hs_lines lines;
    struct hs_body_out out;
    struct hs_body_in in;
    struct hs_upload *upload; /* NULL: its body was whole when its handler was called */

    uint32_t number;
    nhttp_hijacked_fn *hijack_fn; /* NULL: it is not */
    void *hijack_arg;
    nhttp_request_fn *cancel_fn; /* ordered by cancel */
    void *cancel_arg;
    nhttp_request_fn *room_fn; /* ordered by room */
    void *room_arg;
    _Atomic(struct hs_value *) values; /* the newest one */
    struct hs_decoded *decoded;

    /* The first of those that are not zero when it is made. */
    struct nhttp_head head;
    const char *bytes; /* of the head; what the spans point into */
    uint32_t head_bytes;
    struct nhttp_text path;
    struct nhttp_request_config config;
    uint64_t began_us; /* only when on_record wants it */
    struct gopool_task task;
    /* followed by the fields, the bytes of the head, the path */
};

/* request.c */
/* Takes a head out of the connection's input. 0; -ENOMEM; a status that refuses it. */
int hs_request_create(struct hs_conn *c, const struct nhttp_head *head, const char *bytes,
                      size_t n);
void hs_request_free(struct nhttp_request *request);
void hs_request_unref(struct nhttp_request *request);
/* Sends the response as it is, and has done with the request; what is left of its body is thrown
 * away. Turn. As hs_request_run(). */
bool hs_request_answer_here(struct nhttp_request *request);
/* The request in work has been answered: what now? Turn. */
void hs_request_leave(struct hs_conn *c);
/* The poller may use the request that is in work, until hs_request_look_end(). NULL: it has been
 * answered. Turn. */
struct nhttp_request *hs_request_look(struct hs_conn *c);
/* True: it has been answered meanwhile, and is gone. */
bool hs_request_look_end(struct hs_conn *c);
/* Whether its answer has to be the last of the connection. */
bool hs_request_is_last(struct nhttp_request *request);
/* Whoever gets true answers. */
bool hs_request_claim(struct nhttp_request *request, enum hs_claim as);
/* Tells the handler that its answer would be in vain. Poller, looking. */
void hs_request_cancel(struct nhttp_request *request);
/* The connection has ended: the handler is told, and the connection's count goes. Poller. */
void hs_request_abandon(struct hs_conn *c);
/* The output has room again. Turn. */
void hs_request_make_room(struct hs_conn *c);
/* The poller answers for the handler with a status of its own, and has done with the request, which
 * it looks at. Turn. */
void hs_request_overrule(struct nhttp_request *request, int status);

/* The connection waits for the request from now on. The caller's count becomes that of the
 * connection; `more` are for others: hs_request_let_go(). Turn. */
void hs_request_share(struct nhttp_request *request, uint32_t more);
/* Undoes it while nobody else has got the request. */
void hs_request_unshare(struct nhttp_request *request);
/* Answers a shared request, unless somebody else has; the caller's counts of it go. */
void hs_request_finish(struct nhttp_request *request);
void hs_request_let_go(struct nhttp_request *request);
/* Its handler has panicked and left it to somebody, who may have it already: answers 500, unless an
 * answer has begun, and touches nothing that is his. */
void hs_request_fail(struct nhttp_request *request);

/* handler.c */
/* The request is complete as far as its handler wants it: it runs. Turn. False: the connection has
 * to wait for the answer. */
bool hs_request_run(struct nhttp_request *request);
/* Calls a function that has been waited for, as the handler. Poller, while the request is there. */
void hs_request_resume(struct nhttp_request *request, nhttp_request_fn *fn, void *arg);

/* callback.c. Thread: as the callbacks say. */
/* Calls what the user has written; false: it has panicked, which has been counted and logged. */
bool hs_call(struct hs_conn *c, const char *what, void (*fn)(void *arg), void *arg);
/* What on_head says, 0 without: 0, or a status for whose response it may have made another one. */
int hs_call_on_head(struct nhttp_request *request);
void hs_call_on_state(struct hs_conn *c, enum nhttp_conn_state state);
void hs_call_on_record(struct hs_conn *c, const struct nhttp_record *record);
void hs_call_on_cancel(struct nhttp_request *request);
void hs_call_destroy(struct hs_conn *c, struct hs_value *value);
/* Whoever wanted the connection does not get it. */
void hs_request_drop_hijack(struct nhttp_request *request);

/* Tells on_record. request: NULL when its head was refused. Thread: who answers. */
void hs_record(struct hs_conn *c, const struct nhttp_request *request, int status,
               uint64_t body_bytes);

/* body.c. Turn. */
void hs_body_begin(struct nhttp_request *request);
/* Takes what has come of the body, little more than room bytes of it. 0; -EAGAIN: more has to come;
 * HS_BODY_FULL: more may have; a status that refuses it; -ENOMEM. */
int hs_body_take(struct nhttp_request *request, size_t room);
#define HS_BODY_FULL 1
/* Whether an answer may go before the body: what is left of it can be thrown away. */
bool hs_body_may_drain(const struct nhttp_request *request);

/* response.c. Makes the response that of a status, whatever was made; text NULL: its phrase. 0 or
 * -ENOMEM, and then it has no body. */
int hs_response_make(struct nhttp_request *request, int status, const char *text);
/* What there is of a body that has not begun becomes a buffer. 0 or -ENOMEM. */
int hs_response_to_buffer(struct nhttp_request *request);
/* The fields that some statuses of the server's own must have; a line, or "". */
const char *hs_fields_of(const struct nhttp_server *server, int status, char *room, size_t size);

/* record.c. Thread: who answers. */
void hs_log_panic(const struct nhttp_request *request, const struct gopool_panic *panic);

/* Appends a line to what is made, checked: as nhttp_response_add_field(). */
int hs_add_line(struct nhttp_request *request, const char *name, const char *value);

/* stream.c: bodies that have begun. As the calls of response.h. */
int hs_stream_write(struct nhttp_request *request, const void *data, size_t n);
int hs_stream_write_ref(struct nhttp_request *request, const struct linkbuffer_ref *ref);
int hs_stream_write_file(struct nhttp_request *request, const struct linkbuffer_file *file);
int hs_stream_append(struct nhttp_request *request, struct linkbuffer *from);
/* What comes behind the last byte. 0 or -errno; -EPROTO: the body is not complete. */
int hs_stream_end(struct nhttp_request *request);

/* writer.c. Thread: who answers. */
/* Writes what is left of the answer to the connection's output. 0 or -errno. */
int hs_write_answer(struct nhttp_request *request, bool is_last);
/* Writes the head of a body that has begun; without a body it is mute. 0 or -errno. */
int hs_write_head(struct nhttp_request *request);
/* An interim response with the fields that are set. */
int hs_write_interim(struct nhttp_request *request, const char *status_line);
/* The same for what had no request, or none that may answer. */
int hs_write_refusal(struct hs_conn *c, int status, bool is_last, bool with_body);
int hs_write_continue(struct hs_conn *c);
/* Flushes; a connection that takes no more is aborted. */
void hs_flush(struct netpoll_conn *conn);

/* clock.c */
/* Milliseconds of a clock that only goes forward, exact to some milliseconds; cheap. */
uint64_t hs_now_ms(void);
uint64_t hs_now_us(void);
/* The first lines of most answers, of this thread, until the next call: HS_OK_LINE, then
 * "Date: ...\r\n" of now. */
#define HS_OK_LINE    "HTTP/1.1 200 OK\r\n"
#define HS_DATE_BYTES 37
const char *hs_first_lines(void);

#endif
