/*
 * The inside of the parser of heads: what its parts give each other. Thread: the parser's.
 */
#ifndef NH_HEAD_H
#define NH_HEAD_H

#include <nhttp/head.h>

/* What comes next. */
enum nh_phase {
    NH_PHASE_BEGIN, /* an empty line may come */
    NH_PHASE_METHOD,
    NH_PHASE_TARGET,
    NH_PHASE_VERSION,
    NH_PHASE_STATUS_LINE,
    NH_PHASE_LINE, /* a field, or the empty line */
    NH_PHASE_NAME,
    NH_PHASE_VALUE,
    NH_PHASE_DONE,
    NH_PHASE_REFUSED,
};

/* Bits of nhttp_head_parser.seen. */
enum nh_seen {
    NH_SEEN_HOST = 1 << 0,
    NH_SEEN_LENGTH = 1 << 1,
    NH_SEEN_CODING = 1 << 2,
};

/* Bits of nhttp_head_parser.connection. */
enum nh_connection {
    NH_CONNECTION_CLOSE = 1 << 0,
    NH_CONNECTION_KEEP_ALIVE = 1 << 1,
    NH_CONNECTION_UPGRADE = 1 << 2,
};

/* Refuses the head for good: -EBADMSG. */
int nh_refuse(struct nhttp_head_parser *parser, uint16_t status, const char *fault);

/* The end of a line, its CR being the next byte: 0, -EAGAIN, -EBADMSG. */
int nh_end_line(struct nhttp_head_parser *parser, const uint8_t *data, size_t n);

static inline const uint8_t *nh_at(const uint8_t *data, struct nhttp_span span)
{
    return data + span.offset;
}

static inline struct nhttp_span nh_span(size_t from, size_t to)
{
    return (struct nhttp_span){.offset = (uint32_t)from, .len = (uint32_t)(to - from)};
}

/* first_line.c. A part of the first line as far as it is there: 0 and the next phase, -EAGAIN,
 * -EBADMSG. */
int nh_parse_method(struct nhttp_head_parser *parser, const uint8_t *data, size_t n);
int nh_parse_target(struct nhttp_head_parser *parser, const uint8_t *data, size_t n);
int nh_parse_version(struct nhttp_head_parser *parser, const uint8_t *data, size_t n);
int nh_parse_status_line(struct nhttp_head_parser *parser, const uint8_t *data, size_t n);

/* target.c. */
/* Takes the target apart: 0 or -EBADMSG. */
int nh_split_target(struct nhttp_head_parser *parser, const uint8_t *data);
/* Whether this is host [ ":" port ]: RFC 9110, section 4.2. */
bool nh_is_authority(const uint8_t *data, size_t n, bool needs_port);

/* field.c. Who a field is. */
enum nhttp_field_id nh_field_id(const uint8_t *name, size_t n);
/* Whether a field may stand in a trailer section: RFC 9110, section 6.5.1. */
bool nh_may_trail(const struct nhttp_field *field, const uint8_t *data);

/* framing.c. What fields say about framing and the connection: each one, then all: 0 or -EBADMSG.
 */
int nh_note_field(struct nhttp_head_parser *parser, const uint8_t *data,
                  const struct nhttp_field *field);
int nh_conclude(struct nhttp_head_parser *parser);

#endif
