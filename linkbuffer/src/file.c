/* Bytes that are a file's: looked for, read when somebody wants to see them, sent. Reader side. */
/* For pread(2). */
#define _DEFAULT_SOURCE /* NOLINT(readability-identifier-naming): the C library's name for it */
#include "file.h"

#include "validate.h"

#include <linkbuffer/file.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* What is read at least when less is wanted. */
#define LB_FILE_AHEAD ((size_t)4096 - LINKBUFFER_BLOCK_OVERHEAD)
/* Windows that are loaded for a sender. */
#define LB_FILE_PIECE ((size_t)64 * 1024 - LINKBUFFER_BLOCK_OVERHEAD)
/* What a search reads at a time, on the stack. */
#define LB_FILE_SEARCH ((size_t)4096)

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static struct linkbuffer_file file_of(const struct lb_node *node)
{
    const struct lb_file_block *file = (const struct lb_file_block *)node->block;
    size_t before = (size_t)(node->data - lb_block_data(node->block));
    return (struct linkbuffer_file){
        .fd = file->fd, .offset = file->offset + (off_t)before, .n = node->len};
}

/* Bytes read from `skipped` bytes behind the window's first one on; fewer than n: that is all that
 * can be had. */
static size_t read_file(const struct lb_node *node, size_t skipped, void *into, size_t n)
{
    const struct linkbuffer_file file = file_of(node);
    size_t done = 0;
    while (done < n) {
        ssize_t came =
            pread(file.fd, (uint8_t *)into + done, n - done, file.offset + (off_t)(skipped + done));
        if (came == 0 || (came < 0 && errno != EINTR))
            break;
        if (came > 0)
            done += (size_t)came;
    }
    return done;
}

void lb_reader_split(struct lb_reader *reader)
{
    struct lb_node **link = &reader->first;
    while (*link != NULL && !lb_node_is_file(*link))
        link = &(*link)->next;
    if (*link == NULL)
        return;
    reader->file = *link;
    reader->has_file = 1;
    *link = NULL;
}

static struct lb_node **end_of(struct lb_reader *reader, size_t *len)
{
    struct lb_node **link = &reader->first;
    *len = 0;
    while (*link != NULL) {
        *len += (*link)->len;
        link = &(*link)->next;
    }
    return link;
}

void lb_reader_join_file(struct lb_reader *reader)
{
    size_t len;
    if (!reader->has_file)
        return;
    *end_of(reader, &len) = reader->file;
    reader->settled = NULL;
    reader->has_file = 0;
}

/* Reads n bytes of the first file, which has them, to the end of the chain in front of it. */
static int load_piece(struct lb_reader *reader, struct lb_node **link, size_t n)
{
    struct lb_node *file = reader->file;
    struct lb_node *node = lb_block_node(n);
    if (node == NULL)
        return -ENOMEM;
    node->block->kind = LB_BLOCK_COPY;
    if (read_file(file, 0, node->data, n) < n) {
        lb_node_destroy(node);
        return -EIO;
    }
    node->len = n;
    *link = node;
    reader->bytes_copied += n;
    file->data += n;
    file->len -= n;
    if (file->len > 0)
        return 0;
    node->next = file->next;
    if (reader->last == file)
        reader->last = node;
    reader->settled = NULL;
    reader->has_file = 0;
    lb_node_destroy(file);
    lb_reader_split(reader);
    return 0;
}

int lb_reader_load(struct lb_reader *reader, size_t n, size_t piece)
{
    for (;;) {
        size_t have;
        struct lb_node **link = end_of(reader, &have);
        if (have >= n || !reader->has_file)
            return 0;
        size_t wanted = n - have > LB_FILE_AHEAD ? n - have : LB_FILE_AHEAD;
        wanted = min_size(min_size(wanted, piece), reader->file->len);
        int status = load_piece(reader, link, wanted);
        if (status != 0)
            return status;
    }
}

size_t lb_file_copy_out(const struct lb_node *node, void *into, size_t n)
{
    size_t copied = 0;
    for (; copied < n; node = node->next) {
        size_t step = min_size(n - copied, node->len);
        uint8_t *to = (uint8_t *)into + copied;
        if (!lb_node_is_file(node)) {
            memcpy(to, node->data, step);
        } else {
            size_t came = read_file(node, 0, to, step);
            if (came < step)
                return copied + came;
        }
        copied += step;
    }
    return copied;
}

/* Offset in the window, at or behind `from`. */
static ssize_t search_file(const struct lb_node *node, uint8_t delimiter, size_t from)
{
    uint8_t bytes[LB_FILE_SEARCH];
    while (from < node->len) {
        size_t step = min_size(sizeof bytes, node->len - from);
        if (read_file(node, from, bytes, step) < step)
            return -EIO;
        const uint8_t *hit = memchr(bytes, delimiter, step);
        if (hit != NULL)
            return (ssize_t)(from + (size_t)(hit - bytes));
        from += step;
    }
    return -EAGAIN;
}

static ssize_t search(const struct lb_node *node, uint8_t delimiter, size_t from)
{
    if (lb_node_is_file(node))
        return search_file(node, delimiter, from);
    const uint8_t *hit = memchr(node->data + from, delimiter, node->len - from);
    return hit != NULL ? hit - node->data : -EAGAIN;
}

ssize_t lb_file_find(const struct lb_node *node, uint8_t delimiter, size_t from)
{
    size_t before = 0;
    for (; node != NULL; node = node->next) {
        size_t start = from > before ? from - before : 0;
        ssize_t offset = start < node->len ? search(node, delimiter, start) : -EAGAIN;
        if (offset != -EAGAIN)
            return offset < 0 ? offset : (ssize_t)before + offset;
        before += node->len;
    }
    return -EAGAIN;
}

ssize_t linkbuffer_find_file(struct linkbuffer *lb, struct linkbuffer_file *out)
{
    LB_READER_CALL(lb);
    size_t before;
    lb_reader_pull(lb);
    if (!lb->reader.has_file)
        return -ENOENT;
    (void)end_of(&lb->reader, &before);
    *out = file_of(lb->reader.file);
    return (ssize_t)before;
}

size_t linkbuffer_file_len(struct linkbuffer *lb)
{
    LB_READER_CALL(lb);
    size_t n = 0;
    lb_reader_pull(lb);
    const struct lb_node *node = lb->reader.has_file ? lb->reader.file : NULL;
    for (; node != NULL; node = node->next)
        n += lb_node_is_file(node) ? node->len : 0;
    return n;
}

int linkbuffer_load(struct linkbuffer *lb, size_t n)
{
    LB_READER_CALL(lb);
    lb_reader_pull(lb);
    if (lb->reader.len < n)
        return -EAGAIN;
    return lb->reader.has_file ? lb_reader_load(&lb->reader, n, LB_FILE_PIECE) : 0;
}
