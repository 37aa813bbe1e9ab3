/* Demands, receivers, descriptors and sources of the fuzzed buffers. */
#include "linkbuffer_model.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum {
    PIPE = 4096 /* what a pipe surely takes at once */
};

static int pipe_ends[2] = {-1, -1};

static void open_pipe(void)
{
    if (pipe_ends[0] < 0)
        FUZZ_CHECK(pipe2(pipe_ends, O_NONBLOCK | O_CLOEXEC) == 0);
}

void io_end(void)
{
    if (pipe_ends[0] < 0)
        return;
    (void)close(pipe_ends[0]);
    (void)close(pipe_ends[1]);
    pipe_ends[0] = -1;
}

static void do_need(struct fuzz_input *in, struct model *m)
{
    uint8_t choice = fuzz_byte(in);

    if (choice < 64)
        linkbuffer_need(m->lb, 0);
    else if (choice < 80)
        linkbuffer_need(m->lb, SIZE_MAX >> choice % 16);
    else
        linkbuffer_need(m->lb, m->unread + choose_size(in));
}

/* A receiver: takes what it gets, fills some of it, takes the rest back. */
static void do_receive(struct fuzz_input *in, struct model *m)
{
    size_t max = fuzz_byte(in) < 64 ? SIZE_MAX / 2 : choose_size(in);
    uint8_t share = fuzz_byte(in);
    void *into = m;
    size_t n = 0;

    if (model_place(m, LIMIT / 4) == NULL)
        return;
    if (!succeeded(linkbuffer_reserve_input(m->lb, max, &into, &n))) {
        FUZZ_CHECK(into == m && n == 0);
        return;
    }
    FUZZ_CHECK(n <= max && (n == 0) == (max == 0) && (n == 0) == (into == NULL));
    FUZZ_CHECK(linkbuffer_reserved_len(m->lb) == m->written + n);
    /* A demand is no promise: what has come bounds what is taken, in blocks of up to twice that. */
    FUZZ_CHECK(n <= 2 * m->peak + 65536);
    size_t came = share < 128 ? n * share / 127 : share % 32;
    uint8_t *bytes = came > n ? NULL : model_new_content(m, came);
    if (bytes == NULL)
        came = 0;
    if (came > 0)
        memcpy(into, bytes, came);
    FUZZ_CHECK(linkbuffer_commit(m->lb, m->written + came) == 0);
    m->written += came;
    model_fill_reserved(m);
    FUZZ_CHECK(linkbuffer_flush(m->lb) == m->written);
    model_flush(m);
}

static void fill_from_nothing(struct model *m)
{
    (void)alloc_failed();
    FUZZ_CHECK(linkbuffer_fill_fd(m->lb, pipe_ends[0], 0) == -EINVAL);
    FUZZ_CHECK(linkbuffer_fill_fd(m->lb, pipe_ends[0], 10) == -EAGAIN);
    FUZZ_CHECK(linkbuffer_fill_fd(m->lb, -1, 10) == -EBADF);
}

static void do_fill_fd(struct fuzz_input *in, struct model *m)
{
    static uint8_t rest[PIPE];
    size_t n = choose_size(in) % (PIPE + 1);
    size_t max = choose_size(in);
    uint8_t *bytes = model_new_content(m, n);

    if (bytes == NULL)
        return;
    open_pipe();
    model_fill_reserved(m);
    if (n == 0 || max == 0) {
        fill_from_nothing(m);
        return;
    }
    FUZZ_CHECK(write(pipe_ends[1], bytes, n) == (ssize_t)n);
    ssize_t got = linkbuffer_fill_fd(m->lb, pipe_ends[0], max);
    size_t came = succeeded(got) ? (size_t)got : 0;
    FUZZ_CHECK(came <= max && came <= n && (came > 0 || got < 0));
    if (came > 0) {
        m->written += came;
        model_flush(m);
    }
    if (came < n)
        FUZZ_CHECK(read(pipe_ends[0], rest, PIPE) == (ssize_t)(n - came));
    FUZZ_CHECK(memcmp(rest, bytes + came, n - came) == 0);
}

static void do_drain_fd(struct fuzz_input *in, struct model *m)
{
    static uint8_t taken[LIMIT];
    size_t max = choose_size(in);

    open_pipe();
    ssize_t sent = linkbuffer_drain_fd(m->lb, -1, max);
    FUZZ_CHECK(sent == (m->unread == 0 || max == 0 ? 0 : -EBADF));
    sent = linkbuffer_drain_fd(m->lb, pipe_ends[1], max);
    FUZZ_CHECK(sent >= 0 && (size_t)sent <= max && (size_t)sent <= m->unread);
    FUZZ_CHECK(sent > 0 || max == 0 || m->unread == 0);
    if (sent > 0)
        FUZZ_CHECK(read(pipe_ends[0], taken, LIMIT) == sent);
    FUZZ_CHECK(memcmp(taken, model_unread(m), (size_t)sent) == 0);
    model_consume(m, (size_t)sent);
}

struct source {
    struct fuzz_input *in;
    struct model *m;
    ssize_t last; /* what the source has answered last; 1: not called */
};

static ssize_t give(void *arg, void *into, size_t n)
{
    struct source *source = arg;
    struct model *m = source->m;
    uint8_t choice = fuzz_byte(source->in);

    FUZZ_CHECK(n > 0 && source->last > 0);
    if (choice < 4)
        return source->last = -EIO;
    if (choice < 8)
        return source->last = (ssize_t)n + 1;
    size_t came = choice < 128 ? choice - 8U : n * (choice - 127U) / 128;
    if (came > n)
        came = n;
    uint8_t *bytes = came == 0 ? NULL : model_new_content(m, came);
    if (bytes == NULL)
        return source->last = 0;
    memcpy(into, bytes, came);
    m->written += came;
    model_flush(m);
    return source->last = (ssize_t)came;
}

static void do_pull(struct fuzz_input *in, struct model *m)
{
    struct source source = {in, m, 1};
    size_t n = choose_demand(in, m) + choose_size(in);
    bool is_there = n <= m->unread;

    model_fill_reserved(m);
    ssize_t status = linkbuffer_pull(m->lb, n, give, &source);
    if (alloc_failed() && status == -ENOMEM)
        return;
    if (status < 0) {
        FUZZ_CHECK(status == -EIO ? source.last == -EIO : status == -EOVERFLOW);
        return;
    }
    FUZZ_CHECK((size_t)status == m->unread);
    FUZZ_CHECK(source.last == 0 || m->unread >= n);
    FUZZ_CHECK(!is_there || source.last == 1);
}

operation_fn *const io_operations[] = {
    do_need, do_need, do_receive, do_receive, do_receive, do_pull, do_pull, do_fill_fd, do_drain_fd,
};
const size_t io_operation_count = sizeof io_operations / sizeof *io_operations;
