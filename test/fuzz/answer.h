/* An answer of HTTP, read by the letter from a socket. */
#ifndef TEST_FUZZ_ANSWER_H
#define TEST_FUZZ_ANSWER_H

#include <nhttp/head.h>

#include <stdbool.h>
#include <stddef.h>

#define ANSWER_FIELDS 256

struct answer {
    struct nhttp_head_parser parser;
    struct nhttp_field table[ANSWER_FIELDS];
    const char *bytes; /* what the spans point into: the socket's, until the next answer */
    bool is_whole;     /* false: the connection ended, or was reset, before */
    bool has_ended;    /* the connection */
    size_t body_bytes;
    char *body;
    struct nhttp_head_parser trailers;
    struct nhttp_field trailer_table[ANSWER_FIELDS];
    const char *trailer_bytes;
};

struct answer_socket {
    int fd; /* -1: there is none */
    size_t have, at;
    char bytes[1 << 20];
};

/* Reads the next answer, interim ones too; what is no answer fails. */
void answer_read(struct answer_socket *from, enum nhttp_method method, struct answer *out);
/* Forgets what was read; whether nothing is left. */
bool answer_is_all(struct answer_socket *from);

#endif
