/*
 * Rings of 4 submissions and 8 completions on the real kernel: both queues are full all the time,
 * what does not fit the second is kept by the kernel and ends receives that would stay armed.
 * Every byte must still come, in order. The set-up and the wait of liburing are replaced by the
 * linker; the first makes the ring small, the second sees that it was too small.
 */
#include "../support/pattern.h"
#include "rig.h"

#include <liburing.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SUBMISSIONS 4U
#define COMPLETIONS 8U
#define CONNECTIONS 100
#define CLIENTS     4
#define ROUNDS      20
#define PIECES      6
#define PIECE       ((size_t)700)

/* Relaxed: read when the threads have ended. */
static atomic_uint overflows;

int __real_io_uring_queue_init_params(unsigned entries, struct io_uring *ring,
                                      struct io_uring_params *p);
int __wrap_io_uring_queue_init_params(unsigned entries, struct io_uring *ring,
                                      struct io_uring_params *p);
int __real_io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **cqe_ptr,
                                            unsigned wait_nr, struct __kernel_timespec *ts,
                                            sigset_t *sigmask);
int __wrap_io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **cqe_ptr,
                                            unsigned wait_nr, struct __kernel_timespec *ts,
                                            sigset_t *sigmask);

int __wrap_io_uring_queue_init_params(unsigned entries, struct io_uring *ring,
                                      struct io_uring_params *p)
{
    (void)entries;
    p->cq_entries = COMPLETIONS;
    return __real_io_uring_queue_init_params(SUBMISSIONS, ring, p);
}

int __wrap_io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **cqe_ptr,
                                            unsigned wait_nr, struct __kernel_timespec *ts,
                                            sigset_t *sigmask)
{
    int status = __real_io_uring_submit_and_wait_timeout(ring, cqe_ptr, wait_nr, ts, sigmask);
    if ((IO_URING_READ_ONCE(*ring->sq.kflags) & IORING_SQ_CQ_OVERFLOW) != 0)
        atomic_fetch_add_explicit(&overflows, 1, memory_order_relaxed);
    return status;
}

struct client {
    pthread_t thread;
    const struct rig *rig;
    unsigned index;
};

/* All its connections say something before it looks at an answer. */
static void talk(const int *fds, uint64_t round)
{
    char bytes[PIECE];
    for (unsigned piece = 0; piece < PIECES; piece++) {
        for (unsigned i = 0; i < CONNECTIONS; i++) {
            pattern_fill(round + i, piece * PIECE, bytes, PIECE);
            client_send(fds[i], bytes, PIECE);
        }
    }
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        for (unsigned piece = 0; piece < PIECES; piece++) {
            CHECK(client_receive(fds[i], bytes, PIECE) == PIECE);
            CHECK(pattern_matches(round + i, piece * PIECE, bytes, PIECE));
        }
    }
}

static void *run_client(void *arg)
{
    const struct client *client = arg;
    int fds[CONNECTIONS];
    for (unsigned i = 0; i < CONNECTIONS; i++)
        fds[i] = rig_dial(client->rig);
    for (unsigned round = 0; round < ROUNDS; round++)
        talk(fds, (uint64_t)client->index << 32 | round << 16);
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        client_end_sending(fds[i]);
        CHECK(client_sees_end(fds[i]));
        client_close(fds[i]);
    }
    return NULL;
}

static void run(enum netpoll_handler handler)
{
    struct netpoll_conn_options options = {.handler = handler, .on_request = echo_copy};
    struct rig rig = {.pollers = 1};
    struct client clients[CLIENTS];
    rig_start(&rig, &options);
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client){.rig = &rig, .index = i};
        CHECK(pthread_create(&clients[i].thread, NULL, run_client, &clients[i]) == 0);
    }
    for (unsigned i = 0; i < CLIENTS; i++)
        CHECK(pthread_join(clients[i].thread, NULL) == 0);
    rig_finish_when_idle(&rig);
}

int main(void)
{
    CHECK(setenv("NETPOLL_TEST_BACKEND", "io_uring", 1) == 0);
    int error = backend_refusal();
    if (error != 0) {
        fprintf(stderr, "skipped: io_uring is refused here: %s\n", strerror(error));
        return STATUS_SKIPPED;
    }
    run(NETPOLL_HANDLER_INLINE);
    run(NETPOLL_HANDLER_POOL);
    unsigned seen = atomic_load_explicit(&overflows, memory_order_relaxed);
    printf("the completion queue overflowed %u times\n", seen);
    CHECK(seen > 0);
    return 0;
}
