/* Text on its way to a descriptor, in one write(2) as long as it fits. Allocates nothing. */
#ifndef GP_TEXT_H
#define GP_TEXT_H

#include <stddef.h>

/* As much as a pipe takes in one piece. */
#define GP_TEXT_BYTES 4096

struct gp_text {
    int fd;
    size_t length;
    char bytes[GP_TEXT_BYTES];
};

/* Begins a text. Leaves the bytes alone: they are many. */
static inline void gp_text_begin(struct gp_text *text, int fd)
{
    text->fd = fd;
    text->length = 0;
}

/* Appends what printf(3) would print. Writes out what is there when it does not fit. */
void gp_text_add(struct gp_text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Writes out what is there. What the descriptor does not take is lost: there is no one to tell. */
void gp_text_end(struct gp_text *text);

#endif
