/* Text that is put together on the stack. Any thread. */
#include "text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

void gp_text_end(struct gp_text *text)
{
    const char *bytes = text->bytes;
    size_t left = text->length;

    while (left > 0) {
        ssize_t written = write(text->fd, bytes, left);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            break;
        bytes += written;
        left -= (size_t)written;
    }
    text->length = 0;
}

void gp_text_add(struct gp_text *text, const char *format, ...)
{
    for (int attempt = 0; attempt < 2; attempt++) {
        size_t room = sizeof text->bytes - text->length;
        va_list arguments;

        va_start(arguments, format);
        int length = vsnprintf(text->bytes + text->length, room, format, arguments);
        va_end(arguments);
        if (length < 0)
            return;
        if ((size_t)length < room) {
            text->length += (size_t)length;
            return;
        }
        if (text->length == 0)
            break;
        gp_text_end(text);
    }
    /* Longer than the whole buffer: cut. */
    text->length = sizeof text->bytes - 1;
}
