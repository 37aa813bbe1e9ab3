/* What has to be looked at before the next wait, in the order in which it was noted. Poller
 * thread. */
#include "uring_operation.h"

static void append(struct np_fd_list *list, struct np_fd *fd)
{
    fd->flags |= NP_FD_LISTED;
    fd->next = NULL;
    *list->end = fd;
    list->end = &fd->next;
    list->count++;
}

static void cut(struct np_fd_list *list, struct np_fd **link)
{
    struct np_fd *fd = *link;
    *link = fd->next;
    if (list->end == &fd->next)
        list->end = link;
    list->count--;
    fd->flags &= (uint16_t)~NP_FD_LISTED;
}

static bool find_and_cut(struct np_fd_list *list, struct np_fd *fd)
{
    for (struct np_fd **link = &list->first; *link != NULL; link = &(*link)->next) {
        if (*link == fd) {
            cut(list, link);
            return true;
        }
    }
    return false;
}

static bool may_be_listed(const struct np_fd *fd)
{
    return (fd->flags & (NP_FD_LISTED | NP_FD_WATCHED)) == NP_FD_WATCHED;
}

void np_uring_list_init(struct np_fd_list *list)
{
    *list = (struct np_fd_list){.end = &list->first};
}

void np_uring_review(struct np_uring *state, struct np_fd *fd)
{
    if (may_be_listed(fd))
        append(&state->review, fd);
}

void np_uring_list_ready(struct np_uring *state, struct np_fd *fd)
{
    /* It is reviewed after it was read from. */
    if (may_be_listed(fd) || find_and_cut(&state->review, fd))
        append(&state->ready, fd);
}

void np_uring_unlist(struct np_uring *state, struct np_fd *fd)
{
    if ((fd->flags & NP_FD_LISTED) != 0 && !find_and_cut(&state->review, fd))
        (void)find_and_cut(&state->ready, fd);
}

struct np_fd *np_uring_pop_ready(struct np_uring *state)
{
    struct np_fd *fd = state->ready.first;
    if (fd != NULL)
        cut(&state->ready, &state->ready.first);
    return fd;
}

bool np_uring_run_review(struct np_uring *state)
{
    struct np_fd **link = &state->review.first;
    /* More would only find no block again. */
    state->credit = state->buffers.filled;
    while (*link != NULL) {
        if (np_uring_reconcile(state, *link))
            cut(&state->review, link);
        else
            link = &(*link)->next;
    }
    return state->review.first == NULL;
}
