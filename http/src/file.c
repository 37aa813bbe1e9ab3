/* Bodies that are a file's. Thread: who has the request. */
#include "request.h"

#include <linkbuffer/file.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* What is promised must be there now; that it stays so cannot be known. */
static int check(const struct linkbuffer_file *file)
{
    struct stat about;
    int flags = fcntl(file->fd, F_GETFL);
    bool is_readable = flags >= 0 && (flags & O_ACCMODE) != O_WRONLY;
    if (!is_readable || file->offset < 0 || fstat(file->fd, &about) != 0 || !S_ISREG(about.st_mode))
        return -EINVAL;
    bool is_there =
        file->offset <= about.st_size && file->n <= (uint64_t)(about.st_size - file->offset);
    return is_there ? 0 : -ERANGE;
}

int nhttp_response_write_file(struct nhttp_request *request, const struct linkbuffer_file *file)
{
    int status = check(file);
    if (status == 0 && request->is_head_sent)
        return hs_stream_write_file(request, file);
    if (status == 0)
        status = hs_response_to_buffer(request);
    return status != 0 ? status : linkbuffer_write_file(request->out.lb, file);
}

static void close_descriptor(void *arg)
{
    (void)close((int)(intptr_t)arg);
}

int nhttp_response_file(struct nhttp_request *request, int fd, off_t offset, size_t n)
{
    const struct linkbuffer_file file = {.fd = fd,
                                         .offset = offset,
                                         .n = n,
                                         .release = close_descriptor,
                                         .arg = (void *)(intptr_t)fd};
    return nhttp_response_write_file(request, &file);
}
