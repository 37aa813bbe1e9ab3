/* Bytes come from the backend and end in the input buffer; then conn_dispatch.c. Poller thread. */
#include "conn.h"

#include "log.h"

#include <errno.h>
#include <sys/uio.h>

int np_conn_input_lend(struct np_fd *fd, struct iovec *iov)
{
    return np_poller_lend_hot(fd->poller, iov);
}

static uint16_t hash_of(const struct linkbuffer_block *block)
{
    return (uint16_t)((uintptr_t)block >> 12 ^ (uintptr_t)block >> 28);
}

/* Counts what a piece by reference takes from others: the rest of its block, unless the connection
 * has an unread piece there already. False: that would be more than it may. */
static bool pin(struct netpoll_conn *conn, const struct linkbuffer_block *block, size_t n)
{
    struct np_conn_input *input = &conn->input;
    uint16_t hash = hash_of(block);
    bool is_first = linkbuffer_unread(input->lb) == 0;
    size_t pinned = is_first ? 0 : (size_t)input->pinned_kib << 10;
    if (is_first || hash != input->last_block)
        pinned += linkbuffer_block_capacity(block);
    pinned = pinned > n ? pinned - n : 0;
    if (!is_first && pinned > conn->group->options.input_pinned_bytes)
        return false;
    input->pinned_kib = (uint16_t)(pinned >> 10);
    input->last_block = hash;
    return true;
}

/* What outlives this call and is small goes to a block of its own, so that the large one stays
 * with the poller; the rest is shown where it landed. */
static int keep(struct netpoll_conn *conn, struct linkbuffer_block *block, void *data, size_t n)
{
    if (conn->group->options.transform != NULL)
        return np_conn_decode(conn, block, data, n);
    bool is_large = n > NP_COPY_LIMIT || conn->group->options.handler == NETPOLL_HANDLER_INLINE;
    if (is_large && pin(conn, block, n))
        return linkbuffer_adopt(conn->input.lb, block, data, n);
    if (is_large)
        np_count(&conn->fd.poller->counters.pin_limits, 1);
    np_count(&conn->fd.poller->counters.bytes_copied, n);
    return linkbuffer_write(conn->input.lb, data, n);
}

static void take(struct netpoll_conn *conn, struct linkbuffer_block *block, void *data, size_t n)
{
    uint64_t word = np_state_read(&conn->state);
    np_count(&conn->fd.poller->counters.bytes_in, n);
    np_count(&conn->fd.poller->counters.receives, 1);
    np_count(&conn->input.bytes, n);
    if ((word & NP_CONN_CLOSING) != 0 && (word & NP_CONN_DETACHED) == 0)
        return;
    np_conn_note_activity(conn);
    int status = keep(conn, block, data, n);
    if (status != 0) {
        np_conn_fail(conn, status, "input");
        return;
    }
    linkbuffer_flush(conn->input.lb);
    np_conn_dispatch_input(conn, n);
}

static void end_of_input(struct netpoll_conn *conn, uint32_t bits)
{
    uint64_t before = np_state_set(&conn->state, NP_CONN_PEER_EOF | bits);
    if ((before & NP_CONN_WAITS_INPUT) != 0)
        np_state_wake(&conn->state, NP_CONN_WAITS_INPUT);
    np_conn_cancel(conn);
    uint64_t word = np_state_read(&conn->state);
    if ((word & NP_TURN_MASK) != NP_TURN_IDLE || np_conn_is_request_due(conn, word))
        np_conn_dispatch(conn);
    np_conn_sync(conn);
}

void np_conn_input_done(struct np_fd *fd, int64_t result)
{
    struct netpoll_conn *conn = (struct netpoll_conn *)fd;
    if (result > 0) {
        struct np_hot_block *hot = &fd->poller->hot;
        char *data = (char *)linkbuffer_block_data(hot->block) + hot->used;
        np_poller_use_hot(fd->poller, (size_t)result);
        take(conn, hot->block, data, (size_t)result);
    } else if (result == 0) {
        end_of_input(conn, 0);
    } else if (result == -ENOMEM || result == -ENOBUFS) {
        np_conn_fail(conn, (int)result, "receive");
    } else {
        np_conn_set_reason(conn, NETPOLL_CLOSE_RESET);
        end_of_input(conn, NP_CONN_RESET);
    }
}

bool np_conn_input_adopt(struct np_fd *fd, struct linkbuffer_block *block, void *data, uint32_t n)
{
    struct netpoll_conn *conn = (struct netpoll_conn *)fd;
    take(conn, block, data, n);
    return (np_state_read(&conn->state) & NP_TURN_MASK) == NP_TURN_IDLE;
}

static bool is_wanted(const struct netpoll_conn *conn, uint64_t word)
{
    if ((word & NP_CONN_PEER_EOF) != 0 || conn->end.phase >= NP_PHASE_REMOVED)
        return false;
    if ((word & NP_CONN_CLOSING) != 0)
        return conn->end.phase == NP_PHASE_LINGER;
    return (word & NP_CONN_PAUSED) == 0;
}

/* Receiving stops: for each reason that there is. */
static void count_pause(const struct netpoll_conn *conn, uint64_t word, bool wanted)
{
    struct np_counters *counters = &conn->fd.poller->counters;
    if (wanted || (conn->fd.flags & NP_FD_INPUT_WANTED) == 0)
        return;
    if ((word & NP_CONN_PAUSE_INPUT) != 0)
        np_count(&counters->input_pauses, 1);
    if ((word & NP_CONN_PAUSE_OUTPUT) != 0)
        np_count(&counters->output_pauses, 1);
    if ((word & NP_CONN_PAUSE_USER) != 0)
        np_count(&counters->user_pauses, 1);
}

void np_conn_input_sync(struct netpoll_conn *conn)
{
    if (conn->end.phase >= NP_PHASE_REMOVED)
        return;
    uint64_t word = np_state_read(&conn->state);
    bool wanted = is_wanted(conn, word);
    count_pause(conn, word, wanted);
    if (wanted != ((conn->fd.flags & NP_FD_INPUT_WANTED) != 0))
        np_conn_time_rests(conn, !wanted);
    int status = conn->fd.poller->backend->set_input(conn->fd.poller, &conn->fd, wanted);
    if (status != 0)
        np_conn_fail(conn, status, "receive");
}
