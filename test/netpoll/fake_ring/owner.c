/* The poller is filled as poller.c does, less what needs a thread or a runtime. */
#include "owner.h"

#include "uring_operation.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/uio.h>

struct np_poller poller;

static size_t bytes_before;

void rig_open(void)
{
    bytes_before = fake_alloc_live_bytes();
    poller = (struct np_poller){.backend = &np_backend_uring};
    fake_clock_pass(1);
    np_wheel_init(&poller.wheel, np_poller_now_ms(&poller));
    cr_assert_eq(poller.backend->open(&poller), 0);
}

void rig_close(void)
{
    wait_all();
    cr_assert_eq(fake_ring_in_flight(), 0);
    expect_full_ring();
    poller.backend->close(&poller);
    np_fd_table_fini(&poller.fds);
    cr_assert_eq(fake_alloc_live_bytes(), bytes_before);
}

size_t ring_target(void)
{
    return ((const struct np_uring *)poller.backend_state)->buffers.target;
}

void expect_full_ring(void)
{
    cr_assert_geq(ring_target(), RING_LEAST);
    cr_assert(fake_ring_has_buffers(ring_target()));
}

static void react(struct owner *owner, owner_react_fn *fn)
{
    if (fn != NULL)
        fn(owner);
}

static void take(struct owner *owner, const void *data, size_t n)
{
    cr_assert_eq(owner->closed_count, 0);
    cr_assert_eq(owner->end_count, 0, "input after the end of input");
    if (owner->counts_input) {
        owner->input_len += n;
        return;
    }
    cr_assert_lt(owner->input_len + n, OWNER_INPUT_MAX);
    memcpy(owner->input + owner->input_len, data, n);
    owner->input_len += n;
}

static int lend_input(struct np_fd *fd, struct iovec *iov)
{
    static char lent[OWNER_LENT_MAX];
    struct owner *owner = (struct owner *)fd;
    cr_assert_eq(owner->closed_count, 0);
    *iov = (struct iovec){.iov_base = lent, .iov_len = sizeof lent};
    owner->lent = lent;
    return owner->lend_status;
}

static bool adopt_input(struct np_fd *fd, struct linkbuffer_block *block, void *data, uint32_t n)
{
    struct owner *owner = (struct owner *)fd;
    take(owner, data, n);
    if (owner->keeps_blocks) {
        cr_assert_lt(owner->kept_count, OWNER_KEPT_MAX);
        linkbuffer_block_retain(block);
        owner->kept[owner->kept_count++] = block;
    }
    react(owner, owner->on_input);
    return false;
}

static void input_done(struct np_fd *fd, int64_t result)
{
    struct owner *owner = (struct owner *)fd;
    cr_assert_eq(owner->closed_count, 0);
    if (fd->kind != NP_FD_STREAM && result >= 0) {
        owner->accept_count++;
        owner->accepted = result;
        react(owner, owner->on_input);
        return;
    }
    if (fd->kind == NP_FD_STREAM && result > 0) {
        take(owner, owner->lent, (size_t)result);
        react(owner, owner->on_input);
        return;
    }
    cr_assert(fd->kind != NP_FD_STREAM || owner->end_count == 0, "the end of input came twice");
    owner->end_count++;
    owner->end = result;
    react(owner, owner->on_end);
}

static int lend_output(struct np_fd *fd, struct iovec *iov, int max)
{
    struct owner *owner = (struct owner *)fd;
    cr_assert_eq(owner->closed_count, 0);
    cr_assert_gt(max, 0);
    if (owner->file_bytes > 0)
        return NP_OUTPUT_FILE;
    if (owner->output == NULL || *owner->output == '\0') {
        react(owner, owner->on_output_empty);
        return 0;
    }
    iov->iov_base = (void *)(uintptr_t)owner->output;
    iov->iov_len = strlen(owner->output);
    return 1;
}

static ssize_t send_file(struct np_fd *fd, size_t max)
{
    struct owner *owner = (struct owner *)fd;
    cr_assert_eq(owner->closed_count, 0);
    cr_assert_gt(max, 0);
    cr_assert_gt(owner->file_bytes, 0);
    owner->file_tries++;
    if (owner->file_result < 0)
        return owner->file_result;
    size_t n = owner->file_bytes < max ? owner->file_bytes : max;
    return (ssize_t)n < owner->file_result ? (ssize_t)n : owner->file_result;
}

static void output_done(struct np_fd *fd, int64_t result)
{
    struct owner *owner = (struct owner *)fd;
    cr_assert_eq(owner->closed_count, 0);
    owner->output_count++;
    owner->output_result = result;
    if (result > 0 && owner->file_bytes > 0) {
        owner->file_bytes -= (size_t)result;
    } else if (result > 0) {
        cr_assert_leq((size_t)result, strlen(owner->output));
        owner->output += result;
    }
    react(owner, owner->on_output);
}

static void closed(struct np_fd *fd)
{
    struct owner *owner = (struct owner *)fd;
    cr_assert_eq(owner->closed_count, 0, "closed() came twice");
    cr_assert_eq(fd->in_flight, 0);
    owner->closed_count++;
}

static const struct np_fd_ops owner_ops = {
    .lend_input = lend_input,
    .adopt_input = adopt_input,
    .input_done = input_done,
    .lend_output = lend_output,
    .send_file = send_file,
    .output_done = output_done,
    .closed = closed,
};

void owner_open(struct owner *owner, enum np_fd_kind kind, int fd)
{
    *owner = (struct owner){
        .fd = {.fd = fd, .kind = (uint8_t)kind, .ops = &owner_ops, .poller = &poller}};
    cr_assert_eq(poller.backend->add(&poller, &owner->fd), 0);
}

void owner_open_armed(struct owner *owner, enum np_fd_kind kind, int fd)
{
    owner_open(owner, kind, fd);
    owner_want_input(owner, true);
    wait_once();
}

void owner_want_input(struct owner *owner, bool wanted)
{
    cr_assert_eq(poller.backend->set_input(&poller, &owner->fd, wanted), 0);
}

int owner_start_output(struct owner *owner, const char *text)
{
    owner->output = text;
    return poller.backend->start_output(&poller, &owner->fd, true);
}

void owner_drop_kept(struct owner *owner)
{
    while (owner->kept_count > 0)
        linkbuffer_block_release(owner->kept[--owner->kept_count]);
}

void owner_remove(struct owner *owner)
{
    poller.backend->remove(&poller, &owner->fd);
    cr_assert_eq(owner->closed_count, 0, "closed() came before remove() returned");
}

void owner_close(struct owner *owner)
{
    owner_drop_kept(owner);
    owner_remove(owner);
    wait_for_cancellations();
    cr_assert_eq(owner->closed_count, 1);
}

void wait_once(void)
{
    cr_assert_eq(poller.backend->wait(&poller, -1), 0);
}

void wait_all(void)
{
    do {
        wait_once();
    } while (fake_ring_has_deferred());
}

void wait_for_cancellations(void)
{
    wait_all();
    wait_once();
    fake_ring_obey_all();
    wait_all();
}

struct fake_op *receive_of(const struct owner *owner)
{
    return fake_ring_find(IORING_OP_RECV, owner->fd.fd);
}

struct fake_op *hangup_of(const struct owner *owner)
{
    return fake_ring_find_poll(owner->fd.fd, false);
}

struct fake_op *input_poll_of(const struct owner *owner)
{
    return fake_ring_find_poll(owner->fd.fd, true);
}

struct fake_op *send_of(const struct owner *owner)
{
    return fake_ring_find(IORING_OP_SENDMSG, owner->fd.fd);
}

struct fake_op *output_poll_of(const struct owner *owner)
{
    return fake_ring_find_output_poll(owner->fd.fd);
}
