/*
 * A runtime of the backend under test with a server on it. Its end checks that nothing was lost:
 * no descriptor, no memory, no line of log that was not expected.
 */
#ifndef TEST_NETPOLL_RIG_H
#define TEST_NETPOLL_RIG_H

#include "../support/check.h"
#include "../support/client.h"
#include "../support/event.h"

#include <gopool/gopool.h>
#include <netpoll/netpoll.h>

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RIG_LOG_BYTES 512

struct rig {
    /* May be set before the start. */
    uint32_t pollers;                      /* 0: 2 */
    uint32_t demote_idle_ms;               /* of the runtime */
    const char *listen;                    /* NULL: a free port of 127.0.0.1 */
    uint32_t expected_logs;                /* lines of log that the test brings about */
    const struct gopool_options *own_pool; /* a pool of this kind; NULL: the runtime makes it */
    const struct netpoll_server_options *server_options; /* NULL: defaults */
    netpoll_log_fn *log; /* with the rig as its arg; NULL: rig_log() */
    bool beside_another; /* another rig lives: what the process holds is not looked at */
    /* Readable after it. */
    struct gopool *pool; /* when own_pool was set */
    struct netpoll_runtime *runtime;
    struct netpoll_server *server;
    char address[NETPOLL_ADDRESS_BYTES];
    pthread_mutex_t log_mutex;
    uint32_t logs;
    char last_log[RIG_LOG_BYTES];
    size_t descriptors;
    size_t live_bytes;
};

/* From NETPOLL_TEST_BACKEND; epoll when it is not set. */
enum netpoll_backend backend_under_test(void);
/*
 * The errno of whoever refuses that backend to this process as such, so that there is nothing to
 * test; 0 when nobody does. Asked without our library, whose own refusal must fail the tests.
 */
int backend_refusal(void);
/* What ctest takes for a test that could not be made. */
#define STATUS_SKIPPED 77
/* Room for the runtime's log of a test that makes its own; arg is a struct rig. */
void rig_log(enum netpoll_log_level level, const char *message, void *arg);

void rig_start(struct rig *rig, const struct netpoll_conn_options *options);
/* Shuts down, which must not have to abort, and destroys. */
void rig_finish(struct rig *rig);
/* Waits until no connection is left, then as rig_finish(). */
void rig_finish_when_idle(struct rig *rig);
int rig_dial(const struct rig *rig);
struct netpoll_stats rig_stats(const struct rig *rig);
uint32_t rig_logs(struct rig *rig);
/* An echo on a connection of its own: what came before it has been looked at by its poller. */
void rig_round_trip(const struct rig *rig);

/* A connection that the test holds on to; first member of what the options' arg points to. */
struct grab {
    struct event connects;
    struct netpoll_conn *conn; /* the one that came last; retained */
};

#define GRAB_INIT              \
    {                          \
        .connects = EVENT_INIT \
    }

/* on_connect: retains the connection and tells. */
void grab_conn(struct netpoll_conn *conn, void *arg);
/* Runs fn(conn, arg) in a turn and waits for its end. Not a thread of the runtime. */
void run_in_turn(struct netpoll_conn *conn, void (*fn)(struct netpoll_conn *conn, void *arg),
                 void *arg);
/* Figures of a connection, read in a turn. */
struct netpoll_conn_stats conn_stats(struct netpoll_conn *conn);

/* "unix:@netpoll-NAME-PID": no other process of the tests has it. Lives until the next call. */
const char *own_unix_name(const char *name);

/* Memory that callers of mcache own now. */
size_t live_bytes(void);

/* on_request: sends back what is there; a copy, or the same blocks. */
void echo_copy(struct netpoll_conn *conn, void *arg);
void echo_blocks(struct netpoll_conn *conn, void *arg);

/* Sends a message and expects it back. */
void expect_echo(int fd, uint64_t seed, size_t n);

/* A test that is run with each handler mode; the body's parameter is `mode`. */
#define TEST_BOTH_MODES(suite, name)                                                          \
    ParameterizedTestParameters(suite, name)                                                  \
    {                                                                                         \
        static enum netpoll_handler modes[] = {NETPOLL_HANDLER_POOL, NETPOLL_HANDLER_INLINE}; \
        return cr_make_param_array(enum netpoll_handler, modes, 2);                           \
    }                                                                                         \
    ParameterizedTest(const enum netpoll_handler *mode, suite, name)

#endif
