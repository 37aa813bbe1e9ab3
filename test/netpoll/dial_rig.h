/*
 * A rig with a dialer, and peers that do not answer. Its end checks what that of a rig does.
 */
#ifndef TEST_NETPOLL_DIAL_RIG_H
#define TEST_NETPOLL_DIAL_RIG_H

#include "rig.h"

#include <netpoll/dialer.h>

struct dial_rig {
    struct rig rig;
    struct netpoll_conn_options server; /* may be set before the start; no on_request: an echo */
    struct netpoll_conn_options conn;
    struct netpoll_dialer_options options;
    struct netpoll_dialer *dialer;
};

void dial_rig_start(struct dial_rig *rig);
/* Shuts the dialer down, which must not have to abort, and waits until nothing is left. */
void dial_rig_finish(struct dial_rig *rig);

/* The dial must come about. */
struct netpoll_conn *dial(struct dial_rig *rig, const char *address);
/* A dial that fails: its status. */
int failing_dial(struct dial_rig *rig, const char *address, int64_t timeout_ms);
/* Sends a message and expects it back; the connection has no on_request. */
void expect_conn_echo(struct netpoll_conn *conn, uint64_t seed, size_t n);
/* Closes, waits for the end of its callbacks and lets go of it. */
void hang_up(struct netpoll_conn *conn);

/* What a dialed function was told. */
struct outcome {
    struct event told;
    struct netpoll_conn *conn; /* retained */
    int status;
    bool on_poller;
};

#define OUTCOME_INIT       \
    {                      \
        .told = EVENT_INIT \
    }

/* A dialed function; arg is a struct outcome. */
void note_outcome(struct netpoll_conn *conn, int status, void *arg);

/* A socket that listens and whose backlog is full: connects are neither answered nor refused. */
struct deaf {
    int listener;
    int fillers[4];
    unsigned count;
    char address[NETPOLL_ADDRESS_BYTES];
};

/* "127.0.0.1:0", "[::1]:0" or that of a unix socket. */
void deaf_start(struct deaf *deaf, const char *text);
/* Takes what waits, so that there is room. */
void deaf_listen_at_last(struct deaf *deaf);
void deaf_finish(struct deaf *deaf);

/* An address of 127.0.0.1 on which nobody listens. */
void free_address(char *out, size_t size);

#endif
