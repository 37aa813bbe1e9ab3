/* Answers from a socket. */
#include "answer.h"

#include "input.h"

#include <nhttp/chunked.h>

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

static const struct nhttp_head_limits limits = {
    .line_bytes = 1 << 16, .head_bytes = 1 << 19, .fields = ANSWER_FIELDS};

/* False: nothing more comes. */
static bool receive(struct answer_socket *from)
{
    FUZZ_CHECK(from->have < sizeof from->bytes);
    ssize_t n = recv(from->fd, from->bytes + from->have, sizeof from->bytes - from->have, 0);
    FUZZ_CHECK(n >= 0 || errno == ECONNRESET);
    if (n <= 0)
        return false;
    from->have += (size_t)n;
    return true;
}

static bool read_head(struct answer_socket *from, enum nhttp_head_kind kind,
                      struct nhttp_head_parser *parser, struct nhttp_field *table)
{
    FUZZ_CHECK(nhttp_head_begin(parser, kind, &limits, table) == 0);
    for (;;) {
        ssize_t used = nhttp_head_parse(parser, from->bytes + from->at, from->have - from->at);
        FUZZ_CHECK(used >= 0 || used == -EAGAIN);
        if (used >= 0) {
            from->at += (size_t)used;
            return true;
        }
        if (!receive(from))
            return false;
    }
}

static bool read_chunks(struct answer_socket *from, struct answer *out)
{
    struct nhttp_chunked decoder;
    char *to = out->body;
    nhttp_chunked_begin(&decoder, NULL);
    while (!nhttp_chunked_is_done(&decoder)) {
        struct nhttp_piece piece;
        ssize_t used =
            nhttp_chunked_decode(&decoder, from->bytes + from->at, from->have - from->at, &piece);
        FUZZ_CHECK(used >= 0);
        if (piece.n > 0)
            memmove(to, piece.data, piece.n);
        to += piece.n;
        from->at += (size_t)used;
        out->body_bytes += piece.n;
        if (used == 0 && !receive(from))
            return false;
    }
    out->trailer_bytes = from->bytes + from->at;
    return read_head(from, NHTTP_HEAD_TRAILERS, &out->trailers, out->trailer_table);
}

static bool read_counted(struct answer_socket *from, struct answer *out, uint64_t n)
{
    while (from->have - from->at < n) {
        if (!receive(from))
            return false;
    }
    from->at += (size_t)n;
    out->body_bytes = (size_t)n;
    return true;
}

static void read_to_end(struct answer_socket *from, struct answer *out)
{
    while (receive(from))
        ;
    out->body_bytes = from->have - from->at;
    from->at = from->have;
}

void answer_read(struct answer_socket *from, enum nhttp_method method, struct answer *out)
{
    struct nhttp_head *head = &out->parser.head;
    out->body_bytes = 0;
    out->trailer_bytes = NULL;
    out->bytes = from->bytes + from->at;
    out->is_whole = read_head(from, NHTTP_HEAD_RESPONSE, &out->parser, out->table);
    if (!out->is_whole)
        return;
    nhttp_head_response_to(head, method);
    out->body = from->bytes + from->at;
    if (head->body == NHTTP_BODY_CHUNKED)
        out->is_whole = read_chunks(from, out);
    else if (head->body == NHTTP_BODY_LENGTH)
        out->is_whole = read_counted(from, out, head->content_length);
    else if (head->body != NHTTP_BODY_NONE)
        read_to_end(from, out);
}

bool answer_is_all(struct answer_socket *from)
{
    bool is_all = from->at == from->have;
    from->at = from->have = 0;
    return is_all;
}
