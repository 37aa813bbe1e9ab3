/* What a user of the two modules writes: a message through a buffer, and a block. */
#include <linkbuffer/linkbuffer.h>
#include <mcache/mcache.h>

#include <stdio.h>
#include <string.h>

int main(void)
{
    struct linkbuffer *lb;
    const void *bytes;
    char *copy = mcache_alloc(5);
    int status = 1;
    if (copy == NULL)
        return 1;
    if (linkbuffer_create(&lb) != 0)
        goto free_copy;
    if (linkbuffer_write(lb, "hello", 5) != 0)
        goto destroy;
    linkbuffer_flush(lb);
    if (linkbuffer_next(lb, 5, &bytes) != 0)
        goto destroy;
    memcpy(copy, bytes, 5);
    linkbuffer_release(lb);
    printf("%.5s from a block of %zu\n", copy, mcache_capacity(copy));
    status = 0;
destroy:
    linkbuffer_destroy(lb);
free_copy:
    mcache_free(copy);
    return status;
}
