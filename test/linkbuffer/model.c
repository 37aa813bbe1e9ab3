/* What must be in a buffer, compared with what is. */
#include "model.h"

#include <criterion/criterion.h>
#include <linkbuffer/file.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

void model_hold(struct model *m, const void *shown, size_t n)
{
    if (n == 0 || m->held_count == HELD)
        return;
    struct held *held = &m->held[m->held_count++];
    held->shown = shown;
    held->n = n;
    held->expected = malloc(n);
    cr_assert_not_null(held->expected);
    memcpy(held->expected, m->bytes, n);
}

void model_check_held(struct model *m)
{
    for (size_t i = 0; i < m->held_count; i++)
        cr_assert_eq(memcmp(m->held[i].shown, m->held[i].expected, m->held[i].n), 0);
}

void model_drop_held(struct model *m)
{
    for (size_t i = 0; i < m->held_count; i++)
        free(m->held[i].expected);
    m->held_count = 0;
}

void model_consume(struct model *m, size_t n)
{
    m->unread -= n;
    memmove(m->bytes, m->bytes + n, m->unread + m->written);
}

void model_check_content(struct model *m)
{
    static struct iovec iov[LIMIT];
    int count = linkbuffer_iov(m->lb, iov, LIMIT);
    size_t at = 0;
    for (int i = 0; i < count; i++) {
        cr_assert_gt(iov[i].iov_len, 0);
        cr_assert_leq(at + iov[i].iov_len, m->unread);
        cr_assert_eq(memcmp(iov[i].iov_base, m->bytes + at, iov[i].iov_len), 0);
        at += iov[i].iov_len;
    }
    struct linkbuffer_file file;
    if (at == m->unread)
        return;
    cr_assert_eq(linkbuffer_find_file(m->lb, &file), (ssize_t)at);
    cr_assert_gt(file.n, 0);
    cr_assert_leq(at + file.n, m->unread);
    cr_assert_leq(at + linkbuffer_file_len(m->lb), m->unread);
}
