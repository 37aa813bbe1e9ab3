/* Linked with --wrap=mcache_alloc, through which all allocations of the library pass. */
#include "linkbuffer_model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

struct model models[BUFFERS];

static unsigned fail_at; /* counts down to the allocation that fails; 0: none */
static bool has_failed;
static uint64_t content;

/* NOLINTBEGIN(readability-identifier-naming): names that the linker gives. */
void *__real_mcache_alloc(size_t size);
void *__wrap_mcache_alloc(size_t size);

void *__wrap_mcache_alloc(size_t size)
{
    if (fail_at == 0 || --fail_at > 0)
        return __real_mcache_alloc(size);
    has_failed = true;
    errno = ENOMEM;
    return NULL;
}
/* NOLINTEND(readability-identifier-naming) */

void alloc_fail(unsigned nth)
{
    fail_at = nth;
    has_failed = false;
}

bool alloc_failed(void)
{
    bool failed = has_failed;

    alloc_fail(0);
    return failed;
}

bool succeeded(ssize_t status)
{
    bool failed = alloc_failed();

    FUZZ_CHECK(status >= 0 || (status == -ENOMEM && failed));
    return status >= 0;
}

void model_start(struct model *m, struct linkbuffer *lb, const uint8_t *bytes, size_t n)
{
    uint8_t *space = m->bytes == NULL ? malloc(SPACE) : m->bytes;

    FUZZ_CHECK(space != NULL);
    *m = (struct model){.lb = lb, .bytes = space, .unread = n};
    if (n > 0)
        memcpy(space, bytes, n);
}

void model_end(struct model *m)
{
    model_check_content(m);
    model_check_held(m);
    model_drop_held(m, false);
    linkbuffer_destroy(m->lb);
    m->lb = NULL;
}

uint8_t *model_place(struct model *m, size_t n)
{
    size_t used = m->unread + m->written;

    if (used + n > LIMIT)
        return NULL;
    if (m->start + used + n > SPACE) {
        memmove(m->bytes, m->bytes + m->start, used);
        m->start = 0;
    }
    return m->bytes + m->start + used;
}

FUZZ_UNTRACED void fill_new(uint8_t *into, size_t n)
{
    for (size_t i = 0; i < n; i++)
        into[i] = (content + i) % 61 == 0 ? DELIMITER : fuzz_content(content, i);
    content += n;
}

uint8_t *model_new_content(struct model *m, size_t n)
{
    uint8_t *bytes = model_place(m, n);

    if (bytes != NULL)
        fill_new(bytes, n);
    return bytes;
}

void model_consume(struct model *m, size_t n)
{
    m->start += n;
    m->unread -= n;
}

void model_flush(struct model *m)
{
    m->unread += m->written;
    m->written = 0;
}

void model_hold(struct model *m, const void *shown, size_t n, bool by_iov)
{
    if (n == 0 || m->held_count == HELD)
        return;
    uint8_t *expected = malloc(n);
    FUZZ_CHECK(expected != NULL);
    memcpy(expected, model_unread(m), n);
    m->held[m->held_count++] = (struct held){shown, expected, n, by_iov};
}

void model_check_held(const struct model *m)
{
    for (size_t i = 0; i < m->held_count; i++)
        FUZZ_CHECK(memcmp(m->held[i].shown, m->held[i].expected, m->held[i].n) == 0);
}

void model_drop_held(struct model *m, bool only_by_iov)
{
    size_t kept = 0;

    for (size_t i = 0; i < m->held_count; i++) {
        if (only_by_iov && !m->held[i].by_iov)
            m->held[kept++] = m->held[i];
        else
            free(m->held[i].expected);
    }
    m->held_count = kept;
}

void model_fill_reserved(struct model *m)
{
    for (size_t i = 0; i < m->reserved_count; i++) {
        const struct reserved *reserved = &m->reserved[i];
        uint8_t *bytes = model_unread(m) + m->unread + reserved->at;
        fill_new(bytes, reserved->n);
        memcpy(reserved->into, bytes, reserved->n);
    }
    m->reserved_count = 0;
}

void model_check(struct model *m)
{
    FUZZ_CHECK(linkbuffer_unread(m->lb) == m->unread);
    FUZZ_CHECK(linkbuffer_reserved_len(m->lb) == m->written);
    if (m->peak < m->unread + m->written)
        m->peak = m->unread + m->written;
}

void model_check_content(struct model *m)
{
    static struct iovec iov[LIMIT];
    int count = linkbuffer_iov(m->lb, iov, LIMIT);
    size_t at = 0;

    for (int i = 0; i < count; i++) {
        FUZZ_CHECK(iov[i].iov_len > 0);
        FUZZ_CHECK(at + iov[i].iov_len <= m->unread);
        FUZZ_CHECK(memcmp(iov[i].iov_base, model_unread(m) + at, iov[i].iov_len) == 0);
        at += iov[i].iov_len;
    }
    FUZZ_CHECK(at == m->unread);
    FUZZ_CHECK(linkbuffer_len(m->lb) == m->unread);
}

size_t choose_size(struct fuzz_input *in)
{
    uint8_t choice = fuzz_byte(in);
    size_t low = choice & 31;

    switch (choice >> 5) {
    case 0:
    case 1:
        return low;
    case 2:
        return 16 + low * 8;
    case 3: /* a block that is just full, and one byte more or less */
        return ((size_t)128 << low % 8) - LINKBUFFER_BLOCK_OVERHEAD + low / 8 - 1;
    case 4:
        return low * 64;
    case 5:
        return low * 300 + 1;
    case 6:
        return fuzz_u16(in) / 4;
    default:
        return low < 28 ? low * 16 : 65536 - 2 * LINKBUFFER_BLOCK_OVERHEAD + low * 4;
    }
}

size_t choose_demand(struct fuzz_input *in, struct model *m)
{
    uint8_t choice = fuzz_byte(in);
    struct iovec first;

    if (choice < 8)
        return m->unread + 1 + choice;
    if (choice < 24)
        return m->unread;
    if (choice < 64 && linkbuffer_iov(m->lb, &first, 1) == 1)
        return first.iov_len + choice % 3 - 1;
    if (choice < 128)
        return choice % 16;
    return choose_size(in) % (m->unread + 1);
}
