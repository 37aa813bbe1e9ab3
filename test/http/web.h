/*
 * A server of HTTP on a runtime of the backend under test, and a client that reads answers by the
 * letter. Its end checks that nothing was lost. The client's calls: one thread.
 */
#ifndef TEST_HTTP_WEB_H
#define TEST_HTTP_WEB_H

#include "../netpoll/rig.h"

#include <nhttp/response.h>
#include <nhttp/server.h>

struct web {
    struct nhttp_server_options options;   /* may be set before the start; handler: web_handle() */
    uint32_t pollers;                      /* likewise; 0: 2 */
    const struct gopool_options *own_pool; /* of options.pool, made for the test; NULL: none */
    struct rig rig;                        /* of which expected_logs may be set */
    struct nhttp_server *server;
};

void web_start(struct web *web);
/* Shuts down, which must not have to abort, and destroys. */
void web_finish(struct web *web);
/* Waits until no connection is left, then the same. */
void web_finish_when_idle(struct web *web);
int web_dial(const struct web *web);
struct nhttp_server_stats web_stats(const struct web *web);

/* Knows "/": Hello, World!, "/echo", "/big": BIG_BYTES, "/panic"; else 404. */
void web_handle(struct nhttp_request *request, void *arg);
#define WEB_BIG_BYTES ((size_t)1 << 20)
bool path_is(const struct nhttp_request *request, const char *path);
bool text_is(struct nhttp_text text, const char *expected);
/* Answers with a text. */
void say(struct nhttp_request *request, const char *text);

/* Handlers that wait. */
struct gate {
    struct event arrivals;
    struct event open;
};

#define GATE_INIT                                  \
    {                                              \
        .arrivals = EVENT_INIT, .open = EVENT_INIT \
    }

/* Counts its arrival, waits until the gate, its argument, is open, and says "late". */
void wait_at_gate(struct nhttp_request *request, void *arg);

#define ANSWER_HEAD_BYTES 8192

struct answer {
    int status; /* 0: the connection ended before it */
    char head[ANSWER_HEAD_BYTES];
    char *body; /* to be freed with answer_free() */
    size_t body_bytes;
};

/* Sends a request as text. */
void ask(int fd, const char *request);
/* Receives one answer; to_head: of a request that wants no body. */
void receive_answer(int fd, struct answer *out, bool to_head);
void answer_free(struct answer *answer);
/* The value of a field of the answer, NUL-terminated, until the next call; NULL: it has none. */
const char *answer_field(const struct answer *answer, const char *name);
/* Sends a request and expects an answer of this status and text; NULL: any. */
void expect_answer(int fd, const char *request, int status, const char *body);
/* The next answer has this status, and is the last. */
void expect_last(int fd, int status);

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

#endif
