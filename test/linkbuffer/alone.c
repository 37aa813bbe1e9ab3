/* Links linkbuffer and nothing else of the toolkit: two writes come out as one line. */
#include <linkbuffer/linkbuffer.h>

#include <stdio.h>
#include <string.h>

int main(void)
{
    struct linkbuffer *lb;
    const void *line;
    size_t n;
    if (linkbuffer_create(&lb) != 0)
        return 1;
    if (linkbuffer_write(lb, "Hello, ", 7) != 0 || linkbuffer_flush(lb) != 7)
        return 1;
    if (linkbuffer_write(lb, "World!\nrest", 11) != 0 || linkbuffer_flush(lb) != 11)
        return 1;
    if (linkbuffer_until(lb, '\n', &line, &n) != 0)
        return 1;
    int status =
        n == 14 && memcmp(line, "Hello, World!\n", n) == 0 && linkbuffer_len(lb) == 4 ? 0 : 1;
    linkbuffer_destroy(lb);
    if (status != 0)
        fputs("the line is not what was written\n", stderr);
    return status;
}
