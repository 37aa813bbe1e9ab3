/* Linked with -Wl,--wrap=... for every call of liburing that the backend makes and that is not
 * inline. The inline ones work on the memory that the set-up gives them here. */
#include "fake_ring.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define SQ_MAX      256U
#define CQ_MAX      16384U
#define OPS_MAX     32768U
#define BUFFERS_MAX 1024U

/* Completions on their way, in order. */
struct queue {
    struct io_uring_cqe *entries;
    unsigned head;
    unsigned tail;
};

static struct {
    struct io_uring *ring;
    unsigned sq_head, sq_tail, cq_head, cq_tail, flags;
    struct io_uring_sqe sqes[SQ_MAX];
    struct io_uring_cqe *cqes;
    unsigned cq_room; /* 0: as large as asked for */
    struct queue deferred;
    struct queue overflow;
    struct fake_op ops[OPS_MAX];
    size_t op_count;
    struct io_uring_buf_ring *buffers; /* NULL: not registered */
    unsigned buffer_count;
    uint16_t buffer_head;
    unsigned pass; /* 0: FAKE_RING_PASS */
    uint32_t refusals;
    int wait_status;
    int buffers_status;
    unsigned setup_most;
    const struct fake_answer *answers;
    size_t answer_count;
    int64_t timeout_ns;
} fake;

int __wrap_io_uring_queue_init_params(unsigned entries, struct io_uring *ring,
                                      struct io_uring_params *p);
void __wrap_io_uring_queue_exit(struct io_uring *ring);
int __wrap_io_uring_register_ring_fd(struct io_uring *ring);
int __wrap_io_uring_register_buf_ring(struct io_uring *ring, struct io_uring_buf_reg *reg,
                                      unsigned flags);
int __wrap_io_uring_unregister_buf_ring(struct io_uring *ring, int bgid);
int __wrap_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **cqe_ptr,
                                            unsigned wait_nr, struct __kernel_timespec *ts,
                                            sigset_t *sigmask);

static void push(struct queue *queue, const struct io_uring_cqe *cqe)
{
    cr_assert_lt(queue->tail - queue->head, CQ_MAX);
    queue->entries[queue->tail++ % CQ_MAX] = *cqe;
}

static bool is_empty(const struct queue *queue)
{
    return queue->head == queue->tail;
}

static void show_flags(void)
{
    fake.flags = (is_empty(&fake.deferred) ? 0U : IORING_SQ_TASKRUN) |
                 (is_empty(&fake.overflow) ? 0U : IORING_SQ_CQ_OVERFLOW);
}

int __wrap_io_uring_queue_init_params(unsigned entries, struct io_uring *ring,
                                      struct io_uring_params *p)
{
    if (fake.setup_most != 0 && entries > fake.setup_most)
        return -ENOMEM;
    cr_assert_null(fake.ring);
    cr_assert_leq(entries, SQ_MAX);
    cr_assert_leq(p->cq_entries, CQ_MAX);
    fake.ring = ring;
    fake.cqes = calloc(CQ_MAX, sizeof *fake.cqes);
    fake.deferred.entries = calloc(CQ_MAX, sizeof *fake.cqes);
    fake.overflow.entries = calloc(CQ_MAX, sizeof *fake.cqes);
    cr_assert(fake.cqes != NULL && fake.deferred.entries != NULL && fake.overflow.entries != NULL);
    *ring = (struct io_uring){
        .sq = {.khead = &fake.sq_head,
               .ktail = &fake.sq_tail,
               .kflags = &fake.flags,
               .sqes = fake.sqes,
               .ring_mask = SQ_MAX - 1,
               .ring_entries = entries},
        .cq = {.khead = &fake.cq_head,
               .ktail = &fake.cq_tail,
               .cqes = fake.cqes,
               .ring_mask = CQ_MAX - 1,
               .ring_entries = p->cq_entries},
        .flags = p->flags,
        .ring_fd = -1,
        .enter_ring_fd = -1,
    };
    p->features = UINT32_MAX;
    if (fake.cq_room == 0)
        fake.cq_room = p->cq_entries;
    return 0;
}

void __wrap_io_uring_queue_exit(struct io_uring *ring)
{
    cr_assert_eq(ring, fake.ring);
    free(fake.cqes);
    free(fake.deferred.entries);
    free(fake.overflow.entries);
    fake.ring = NULL;
    fake.op_count = 0;
    fake.sq_head = fake.sq_tail = fake.cq_head = fake.cq_tail = 0;
    fake.deferred = (struct queue){0};
    fake.overflow = (struct queue){0};
}

int __wrap_io_uring_register_ring_fd(struct io_uring *ring)
{
    (void)ring;
    return -EINVAL;
}

int __wrap_io_uring_register_buf_ring(struct io_uring *ring, struct io_uring_buf_reg *reg,
                                      unsigned flags)
{
    cr_assert_eq(ring, fake.ring);
    cr_assert_eq(flags, 0);
    if (fake.buffers_status != 0)
        return fake.buffers_status;
    cr_assert_null(fake.buffers);
    cr_assert_leq(reg->ring_entries, BUFFERS_MAX);
    fake.buffers = (struct io_uring_buf_ring *)(uintptr_t)reg->ring_addr;
    fake.buffer_count = reg->ring_entries;
    fake.buffer_head = 0;
    return 0;
}

int __wrap_io_uring_unregister_buf_ring(struct io_uring *ring, int bgid)
{
    cr_assert_eq(ring, fake.ring);
    cr_assert_eq(bgid, 0);
    cr_assert_not_null(fake.buffers);
    fake.buffers = NULL;
    return 0;
}

/* The kernel takes an operation; what it would refuse or answer out of order fails the test. */
static void take_operation(const struct io_uring_sqe *sqe)
{
    cr_assert_lt(fake.op_count, OPS_MAX);
    if (sqe->opcode == IORING_OP_RECV) {
        cr_assert_neq(sqe->ioprio & IORING_RECVSEND_POLL_FIRST, 0);
        cr_assert_neq(sqe->flags & IOSQE_BUFFER_SELECT, 0);
        cr_assert_eq(sqe->len, 0);
    }
    if (sqe->opcode == IORING_OP_RECV)
        cr_assert_null(fake_ring_find_poll(sqe->fd, true), "read twice on one descriptor");
    if (sqe->opcode == IORING_OP_RECV || sqe->opcode == IORING_OP_SENDMSG ||
        sqe->opcode == IORING_OP_ACCEPT)
        cr_assert_null(fake_ring_find(sqe->opcode, sqe->fd), "two in flight on one descriptor");
    fake.ops[fake.op_count++] = (struct fake_op){.sqe = *sqe};
}

static int submit(struct io_uring *ring)
{
    cr_assert_eq(ring, fake.ring);
    if (fake.refusals > 0) {
        if (fake.refusals != FAKE_RING_FOR_EVER && --fake.refusals == 0)
            ring->sq.ring_entries = SQ_MAX;
        return -EBUSY;
    }
    int count = 0;
    for (; ring->sq.sqe_head != ring->sq.sqe_tail; ring->sq.sqe_head++, count++)
        take_operation(&fake.sqes[ring->sq.sqe_head & (SQ_MAX - 1)]);
    fake.sq_head = ring->sq.sqe_head;
    return count;
}

int __wrap_io_uring_submit(struct io_uring *ring)
{
    return submit(ring);
}

static void post(uint64_t user_data, int res, unsigned flags)
{
    struct io_uring_cqe cqe = {.user_data = user_data, .res = res, .flags = flags};
    push(&fake.deferred, &cqe);
    show_flags();
}

/* Into the queue while it has room; behind what already had none, so that the order holds. */
static void show(const struct io_uring_cqe *cqe)
{
    if (!is_empty(&fake.overflow) || fake.cq_tail - fake.cq_head == fake.cq_room) {
        push(&fake.overflow, cqe);
        return;
    }
    fake.cqes[fake.cq_tail & (CQ_MAX - 1)] = *cqe;
    fake.cq_tail++;
}

/* The next buffer of the ring, which must have one. */
static struct io_uring_buf *take_buffer(void)
{
    cr_assert_gt(fake_ring_buffers(), 0);
    return &fake.buffers->bufs[fake.buffer_head++ & (fake.buffer_count - 1)];
}

static unsigned buffer_flags(uint16_t id)
{
    return IORING_CQE_F_BUFFER | (unsigned)id << IORING_CQE_BUFFER_SHIFT;
}

/* The kernel takes a buffer though there is none: what was there last. */
static void answer_next(void)
{
    struct fake_answer answer = *fake.answers++;
    fake.answer_count--;
    struct fake_op *newest = fake.op_count > 0 ? &fake.ops[fake.op_count - 1] : NULL;
    if (newest != NULL && (answer.flags & IORING_CQE_F_MORE) == 0)
        newest->has_ended = true;
    if ((answer.flags & IORING_CQE_F_BUFFER) != 0 && fake.buffers != NULL) {
        struct io_uring_buf *buffer = &fake.buffers->bufs[0];
        if (fake_ring_buffers() > 0)
            buffer = take_buffer();
        *(char *)(uintptr_t)buffer->addr = answer.byte != 0 ? answer.byte : 'x';
        answer.flags |= buffer_flags(buffer->bid);
    }
    post(0, answer.res, answer.flags);
}

static void run_deferred(void)
{
    struct queue waiting = fake.overflow;
    fake.overflow.head = fake.overflow.tail;
    while (!is_empty(&waiting))
        show(&waiting.entries[waiting.head++ % CQ_MAX]);
    unsigned pass = fake.pass != 0 ? fake.pass : FAKE_RING_PASS;
    for (unsigned i = 0; i < pass && !is_empty(&fake.deferred); i++)
        show(&fake.deferred.entries[fake.deferred.head++ % CQ_MAX]);
    show_flags();
}

int __wrap_io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **cqe_ptr,
                                            unsigned wait_nr, struct __kernel_timespec *ts,
                                            sigset_t *sigmask)
{
    (void)wait_nr;
    (void)sigmask;
    *cqe_ptr = NULL;
    fake.timeout_ns = ts == NULL ? -1 : ts->tv_sec * 1000000000 + ts->tv_nsec;
    int status = fake.wait_status;
    fake.wait_status = 0;
    if (status != 0)
        return status;
    status = submit(ring);
    if (is_empty(&fake.deferred) && fake.answer_count > 0)
        answer_next();
    run_deferred();
    if (fake.cq_head != fake.cq_tail) {
        *cqe_ptr = &fake.cqes[fake.cq_head & (CQ_MAX - 1)];
        return status;
    }
    /* Nothing happens while the test's own thread waits: a signal stands for what it would do. */
    return ts == NULL ? -EINTR : -ETIME;
}

void fake_ring_answer(const struct fake_answer *answers, size_t count)
{
    fake.answers = answers;
    fake.answer_count = count;
}

void fake_ring_limit_setup(unsigned entries)
{
    fake.setup_most = entries;
}

void fake_ring_refuse_buffers(int status)
{
    fake.buffers_status = status;
}

struct fake_op *fake_ring_find(uint8_t opcode, int fd)
{
    for (size_t i = fake.op_count; i > 0; i--) {
        struct fake_op *op = &fake.ops[i - 1];
        if (!op->has_ended && op->sqe.opcode == opcode && op->sqe.fd == fd)
            return op;
    }
    return NULL;
}

static struct fake_op *find_poll(int fd, unsigned events)
{
    for (size_t i = fake.op_count; i > 0; i--) {
        struct fake_op *op = &fake.ops[i - 1];
        if (!op->has_ended && op->sqe.opcode == IORING_OP_POLL_ADD && op->sqe.fd == fd &&
            (op->sqe.poll32_events & (POLLIN | POLLOUT)) == events)
            return op;
    }
    return NULL;
}

struct fake_op *fake_ring_find_poll(int fd, bool of_input)
{
    return find_poll(fd, of_input ? POLLIN : 0);
}

struct fake_op *fake_ring_find_output_poll(int fd)
{
    return find_poll(fd, POLLOUT);
}

struct fake_op *fake_ring_find_cancel(const struct fake_op *target)
{
    for (size_t i = fake.op_count; i > 0; i--) {
        struct fake_op *op = &fake.ops[i - 1];
        if (!op->has_ended && op->sqe.opcode == IORING_OP_ASYNC_CANCEL &&
            op->sqe.addr == target->sqe.user_data)
            return op;
    }
    return NULL;
}

size_t fake_ring_submitted(uint8_t opcode)
{
    size_t count = 0;
    for (size_t i = 0; i < fake.op_count; i++)
        count += fake.ops[i].sqe.opcode == opcode;
    return count;
}

size_t fake_ring_in_flight(void)
{
    size_t count = 0;
    for (size_t i = 0; i < fake.op_count; i++)
        count += !fake.ops[i].has_ended;
    return count;
}

static bool is_multishot(const struct io_uring_sqe *sqe)
{
    return (sqe->opcode == IORING_OP_RECV && (sqe->ioprio & IORING_RECV_MULTISHOT) != 0) ||
           (sqe->opcode == IORING_OP_ACCEPT && (sqe->ioprio & IORING_ACCEPT_MULTISHOT) != 0) ||
           (sqe->opcode == IORING_OP_POLL_ADD && (sqe->len & IORING_POLL_ADD_MULTI) != 0);
}

void fake_ring_complete(struct fake_op *op, int res, unsigned flags)
{
    cr_assert_not_null(op);
    cr_assert_not(op->has_ended);
    cr_assert((flags & IORING_CQE_F_MORE) == 0 || is_multishot(&op->sqe));
    op->has_ended = (flags & IORING_CQE_F_MORE) == 0;
    post(op->sqe.user_data, res, flags);
}

uint16_t fake_ring_receive(struct fake_op *op, const char *text, unsigned flags)
{
    struct io_uring_buf buffer = *take_buffer();
    size_t n = strlen(text);
    cr_assert_leq(n, buffer.len);
    memcpy((void *)(uintptr_t)buffer.addr, text, n);
    fake_ring_complete(op, (int)n, flags | buffer_flags(buffer.bid));
    return buffer.bid;
}

void fake_ring_complete_with_buffer(struct fake_op *op, int res, unsigned flags)
{
    fake_ring_complete(op, res, flags | buffer_flags(take_buffer()->bid));
}

void fake_ring_post_stale(uint64_t user_data, int res)
{
    post(user_data, res, buffer_flags(take_buffer()->bid));
}

void fake_ring_obey(struct fake_op *cancel)
{
    struct fake_op *target = NULL;
    for (size_t i = 0; i < fake.op_count && target == NULL; i++) {
        if (!fake.ops[i].has_ended && fake.ops[i].sqe.user_data == cancel->sqe.addr)
            target = &fake.ops[i];
    }
    if (target != NULL)
        fake_ring_complete(target, -ECANCELED, 0);
    fake_ring_complete(cancel, target != NULL ? 0 : -ENOENT, 0);
}

void fake_ring_obey_all(void)
{
    for (size_t i = 0; i < fake.op_count; i++) {
        struct fake_op *op = &fake.ops[i];
        if (!op->has_ended && op->sqe.opcode == IORING_OP_ASYNC_CANCEL)
            fake_ring_obey(op);
    }
}

size_t fake_ring_buffers(void)
{
    return (uint16_t)(fake.buffers->tail - fake.buffer_head);
}

static bool is_same(const struct io_uring_buf *a, const struct io_uring_buf *b)
{
    return a->bid == b->bid || a->addr == b->addr;
}

/* The buffer that the kernel takes after so many others. */
static const struct io_uring_buf *waiting_buffer(size_t index)
{
    return &fake.buffers->bufs[(fake.buffer_head + index) & (fake.buffer_count - 1)];
}

bool fake_ring_has_buffers(size_t count)
{
    if (fake_ring_buffers() != count)
        return false;
    for (size_t i = 0; i < count; i++) {
        const struct io_uring_buf *buffer = waiting_buffer(i);
        if (buffer->bid >= fake.buffer_count || buffer->addr == 0 || buffer->len == 0)
            return false;
        for (size_t other = 0; other < i; other++) {
            if (is_same(buffer, waiting_buffer(other)))
                return false;
        }
    }
    return true;
}

void fake_ring_refuse_entries(uint32_t submissions)
{
    fake.refusals = submissions;
    fake.ring->sq.ring_entries = submissions > 0 ? 0 : SQ_MAX;
}

void fake_ring_leave_entries(unsigned count)
{
    fake.refusals = FAKE_RING_FOR_EVER;
    fake.ring->sq.ring_entries = fake.ring->sq.sqe_tail - fake.sq_head + count;
}

void fake_ring_limit_completions(unsigned count)
{
    fake.cq_room = count;
}

void fake_ring_show(unsigned count)
{
    fake.pass = count;
}

void fake_ring_fail_wait(int status)
{
    fake.wait_status = status;
}

int64_t fake_ring_last_timeout(void)
{
    return fake.timeout_ns;
}

bool fake_ring_has_deferred(void)
{
    return !is_empty(&fake.deferred) || !is_empty(&fake.overflow);
}
