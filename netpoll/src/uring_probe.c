/* Set-up of a ring, and the check that it receives as the backend needs it: not what the kernel
 * says it has, but what it does. Any thread. */
#include "uring_probe.h"

#include "uring_buffers.h"

#include <netpoll/error.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SQ_ENTRIES 256U
/* The least that is worth having when locked memory is short (RLIMIT_MEMLOCK). */
#define SQ_ENTRIES_MIN 64U
/* A full completion queue ends multishot operations, so it is roomy. */
#define CQ_PER_SQ 16U
/* Blocks of the ring that is checked, and how long a check may take. */
#define PROBE_BLOCKS     2U
#define PROBE_TIMEOUT_S  1
#define PROBE_BLOCK_SIZE 256U
#define PROBE_BYTE       'x'

#define FEATURES                                                        \
    (IORING_FEAT_NODROP | IORING_FEAT_FAST_POLL | IORING_FEAT_EXT_ARG | \
     IORING_FEAT_SUBMIT_STABLE | IORING_FEAT_NATIVE_WORKERS)

int np_uring_setup(struct io_uring *ring)
{
    int status = -ENOMEM;
    for (unsigned entries = SQ_ENTRIES; entries >= SQ_ENTRIES_MIN && status == -ENOMEM;
         entries /= 2) {
        struct io_uring_params params = {
            .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                     IORING_SETUP_SUBMIT_ALL | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_CQSIZE,
            .cq_entries = entries * CQ_PER_SQ,
        };
        status = io_uring_queue_init_params(entries, ring, &params);
        if (status == 0 && (params.features & FEATURES) != FEATURES) {
            io_uring_queue_exit(ring);
            return -ENOTSUP;
        }
    }
    return status;
}

/* What is checked, and the sockets it is checked with. */
struct probe {
    struct io_uring ring;
    struct np_uring_buffers buffers;
    int sockets[2];
    const char *step; /* for the reason when it fails */
};

/* One completion: 0 or -errno. */
static int reap(struct probe *probe, struct io_uring_cqe *out)
{
    struct __kernel_timespec timeout = {.tv_sec = PROBE_TIMEOUT_S};
    struct io_uring_cqe *cqe = NULL;
    int status = io_uring_submit_and_wait_timeout(&probe->ring, &cqe, 1, &timeout, NULL);
    if (status < 0)
        return status;
    if (cqe == NULL)
        return -ETIME;
    *out = *cqe;
    io_uring_cqe_seen(&probe->ring, cqe);
    return 0;
}

static int expect(struct probe *probe, int res, unsigned flags)
{
    struct io_uring_cqe cqe;
    int status = reap(probe, &cqe);
    if (status != 0)
        return status;
    unsigned seen = cqe.flags & (IORING_CQE_F_BUFFER | IORING_CQE_F_MORE);
    if (cqe.res != res || seen != flags)
        return -ENOTSUP;
    if ((flags & IORING_CQE_F_BUFFER) == 0)
        return 0;
    uint16_t id = (uint16_t)(cqe.flags >> IORING_CQE_BUFFER_SHIFT);
    if (id >= PROBE_BLOCKS)
        return -ENOTSUP;
    struct linkbuffer_block *block = np_uring_buffers_block(&probe->buffers, id);
    return *(const char *)linkbuffer_block_data(block) == PROBE_BYTE ? 0 : -ENOTSUP;
}

static int check_nop(struct probe *probe)
{
    probe->step = "a round trip of io_uring_enter";
    io_uring_prep_nop(io_uring_get_sqe(&probe->ring));
    return expect(probe, 0, 0);
}

static int check_buffers(struct probe *probe)
{
    probe->step = "registering a ring of buffers";
    return np_uring_buffers_open(&probe->buffers, &probe->ring, PROBE_BLOCKS, PROBE_BLOCKS,
                                 PROBE_BLOCK_SIZE);
}

static void arm(struct probe *probe)
{
    np_uring_prep_receive(io_uring_get_sqe(&probe->ring), probe->sockets[0], true);
}

static int send_byte(struct probe *probe)
{
    const char byte = PROBE_BYTE;
    return send(probe->sockets[1], &byte, 1, MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

/* A byte sent must come in a buffer of the ring, which is not given back. */
static int expect_byte(struct probe *probe)
{
    int status = send_byte(probe);
    return status != 0 ? status : expect(probe, 1, IORING_CQE_F_BUFFER | IORING_CQE_F_MORE);
}

static int check_receive(struct probe *probe)
{
    probe->step = "multishot receive";
    arm(probe);
    int status = expect_byte(probe);
    return status != 0 ? status : expect_byte(probe);
}

static int check_exhaustion(struct probe *probe)
{
    probe->step = "receive with no buffer left";
    int status = send_byte(probe);
    if (status == 0)
        status = expect(probe, -ENOBUFS, 0);
    if (status != 0)
        return status;
    for (uint16_t id = 0; id < PROBE_BLOCKS; id++)
        np_uring_buffers_give_back(&probe->buffers, id);
    probe->step = "receive after buffers came back";
    arm(probe);
    return expect(probe, 1, IORING_CQE_F_BUFFER | IORING_CQE_F_MORE);
}

static int check_end(struct probe *probe)
{
    probe->step = "end of a stream";
    if (shutdown(probe->sockets[1], SHUT_WR) != 0)
        return -errno;
    return expect(probe, 0, 0);
}

static int check_all(struct probe *probe)
{
    static int (*const checks[])(struct probe *) = {
        check_nop, check_buffers, check_receive, check_exhaustion, check_end,
    };
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        int status = checks[i](probe);
        if (status != 0)
            return status;
    }
    return 0;
}

static int check_ring(struct probe *probe)
{
    probe->step = "io_uring_setup";
    int status = np_uring_setup(&probe->ring);
    if (status != 0)
        return status;
    status = check_all(probe);
    np_uring_buffers_close(&probe->buffers);
    io_uring_queue_exit(&probe->ring);
    return status;
}

static const char *hint(int status)
{
    if (status == -EPERM || status == -EACCES)
        return " (seccomp, or /proc/sys/kernel/io_uring_disabled)";
    if (status == -ENOMEM)
        return " (RLIMIT_MEMLOCK)";
    return "";
}

int np_uring_probe(char *reason, size_t size)
{
    struct probe probe = {.step = "socketpair"};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, probe.sockets) != 0) {
        int status = -errno;
        snprintf(reason, size, "%s: %s", probe.step, netpoll_strerror(status));
        return status;
    }
    int status = check_ring(&probe);
    if (status != 0)
        snprintf(reason, size, "%s: %s%s", probe.step, netpoll_strerror(status), hint(status));
    close(probe.sockets[0]);
    close(probe.sockets[1]);
    return status;
}
