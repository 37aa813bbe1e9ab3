/* Decoding of chunks, byte by byte where they have lines and piece by piece where they have
 * payload. */
#include <nhttp/chunked.h>

#include "characters.h"

#include <errno.h>

/* What of a line and its end a chunk may always have, and what a byte of payload speaks for. */
#define FREE_BYTES       16U
#define FREE_PER_PAYLOAD 2U

enum state {
    STATE_SIZE,       /* the first digit */
    STATE_DIGITS,     /* further ones, an extension or the end of the line */
    STATE_EXT,        /* behind ";": the first byte of a name */
    STATE_EXT_NAME,   /* further ones */
    STATE_EXT_VALUE,  /* behind "=": the first byte */
    STATE_EXT_TOKEN,  /* further ones */
    STATE_EXT_QUOTED, /* in quotes */
    STATE_EXT_ESCAPE, /* behind a backslash in quotes */
    STATE_EXT_CLOSED, /* behind the quotes */
    STATE_LF,         /* behind the CR of the line */
    STATE_PAYLOAD,
    STATE_PAYLOAD_CR,
    STATE_PAYLOAD_LF,
    STATE_DONE,
    STATE_REFUSED,
};

void nhttp_chunked_begin(struct nhttp_chunked *decoder, const struct nhttp_chunked_limits *limits)
{
    *decoder = (struct nhttp_chunked){.state = STATE_SIZE};
    if (limits != NULL)
        decoder->limits = *limits;
    if (decoder->limits.line_bytes == 0)
        decoder->limits.line_bytes = NHTTP_CHUNK_LINE_BYTES_DEFAULT;
    if (decoder->limits.overhead_bytes == 0)
        decoder->limits.overhead_bytes = NHTTP_CHUNK_OVERHEAD_BYTES_DEFAULT;
}

static int refuse(struct nhttp_chunked *decoder, const char *fault)
{
    decoder->state = STATE_REFUSED;
    decoder->fault = fault;
    return -EBADMSG;
}

static uint8_t digit_of(uint8_t byte)
{
    if (nh_is_digit(byte))
        return (uint8_t)(byte - '0');
    return (uint8_t)((byte | 0x20) - 'a' + 10);
}

static int take_digit(struct nhttp_chunked *decoder, uint8_t byte)
{
    if (decoder->left >> 59 != 0)
        return refuse(decoder, "chunk above 63 bits");
    decoder->left = decoder->left << 4 | digit_of(byte);
    decoder->state = STATE_DIGITS;
    return 0;
}

/* Behind the digits, a name, a value or the closing quotes. */
static int end_part(struct nhttp_chunked *decoder, uint8_t byte, const char *fault)
{
    if (byte == ';')
        decoder->state = STATE_EXT;
    else if (byte == '\r')
        decoder->state = STATE_LF;
    else
        return refuse(decoder, fault);
    return 0;
}

/* The line is complete: what it took is set off against what it may take. */
static int end_line(struct nhttp_chunked *decoder)
{
    uint64_t free_bytes = FREE_BYTES;
    if (decoder->left > UINT32_MAX)
        free_bytes += (uint64_t)UINT32_MAX * FREE_PER_PAYLOAD;
    else
        free_bytes += decoder->left * FREE_PER_PAYLOAD;
    /* Its own end, and that of the payload. */
    decoder->overhead += (uint64_t)decoder->line + 4;
    decoder->overhead -= decoder->overhead < free_bytes ? decoder->overhead : free_bytes;
    if (decoder->overhead > decoder->limits.overhead_bytes)
        return refuse(decoder, "chunks of mostly lines");
    decoder->line = 0;
    decoder->state = decoder->left > 0 ? STATE_PAYLOAD : STATE_DONE;
    return 0;
}

static bool is_quoted_text(uint8_t byte)
{
    return byte == '\t' || (byte >= 0x20 && byte != 0x7f);
}

/* RFC 9112, section 7.1.1, without its white space that nobody should send. */
static int take_extension(struct nhttp_chunked *decoder, uint8_t byte)
{
    bool is_token = nh_is(byte, NH_TOKEN);
    switch ((enum state)decoder->state) {
    case STATE_EXT:
        decoder->state = STATE_EXT_NAME;
        return is_token ? 0 : refuse(decoder, "chunk extension without a name");
    case STATE_EXT_NAME:
        if (byte == '=')
            decoder->state = STATE_EXT_VALUE;
        else if (!is_token)
            return end_part(decoder, byte, "byte that no chunk extension may have");
        return 0;
    case STATE_EXT_VALUE:
        decoder->state = byte == '"' ? STATE_EXT_QUOTED : STATE_EXT_TOKEN;
        return byte == '"' || is_token ? 0 : refuse(decoder, "chunk extension without a value");
    case STATE_EXT_TOKEN:
        return is_token ? 0 : end_part(decoder, byte, "byte that no chunk extension may have");
    case STATE_EXT_QUOTED:
        if (byte == '"')
            decoder->state = STATE_EXT_CLOSED;
        else if (byte == '\\')
            decoder->state = STATE_EXT_ESCAPE;
        return is_quoted_text(byte) ? 0 : refuse(decoder, "control byte in a chunk extension");
    case STATE_EXT_ESCAPE:
        decoder->state = STATE_EXT_QUOTED;
        return is_quoted_text(byte) ? 0 : refuse(decoder, "control byte in a chunk extension");
    default:
        return end_part(decoder, byte, "byte behind a chunk extension");
    }
}

/* One byte of what is not payload. */
static int take_byte(struct nhttp_chunked *decoder, uint8_t byte)
{
    switch ((enum state)decoder->state) {
    case STATE_SIZE:
        return nh_is(byte, NH_HEX) ? take_digit(decoder, byte)
                                   : refuse(decoder, "chunk without a size");
    case STATE_DIGITS:
        return nh_is(byte, NH_HEX) ? take_digit(decoder, byte)
                                   : end_part(decoder, byte, "byte that no chunk size may have");
    case STATE_LF:
        return byte == '\n' ? end_line(decoder) : refuse(decoder, "CR without LF");
    case STATE_PAYLOAD_CR:
        decoder->state = STATE_PAYLOAD_LF;
        return byte == '\r' ? 0 : refuse(decoder, "chunk longer than its size");
    case STATE_PAYLOAD_LF:
        decoder->state = STATE_SIZE;
        return byte == '\n' ? 0 : refuse(decoder, "CR without LF");
    default:
        return take_extension(decoder, byte);
    }
}

static bool is_in_line(const struct nhttp_chunked *decoder)
{
    return decoder->state < STATE_LF;
}

/* Up to the payload or the end of what there is. */
static int take_lines(struct nhttp_chunked *decoder, const uint8_t *data, size_t n, size_t *at)
{
    while (*at < n && decoder->state != STATE_PAYLOAD && decoder->state != STATE_DONE) {
        int status = take_byte(decoder, data[(*at)++]);
        if (status == 0 && is_in_line(decoder) && decoder->state != STATE_SIZE &&
            ++decoder->line > decoder->limits.line_bytes)
            status = refuse(decoder, "chunk's line above the limit");
        if (status != 0)
            return status;
    }
    return 0;
}

ssize_t nhttp_chunked_decode(struct nhttp_chunked *decoder, const void *data, size_t n,
                             struct nhttp_piece *piece)
{
    size_t at = 0;
    *piece = (struct nhttp_piece){0};
    if (decoder->state == STATE_REFUSED)
        return -EBADMSG;
    int status = take_lines(decoder, data, n, &at);
    if (status != 0)
        return status;
    if (decoder->state == STATE_PAYLOAD && at < n) {
        piece->data = (const uint8_t *)data + at;
        piece->n = n - at < decoder->left ? n - at : (size_t)decoder->left;
        decoder->left -= piece->n;
        at += piece->n;
        if (decoder->left == 0)
            decoder->state = STATE_PAYLOAD_CR;
    }
    return (ssize_t)at;
}

bool nhttp_chunked_is_done(const struct nhttp_chunked *decoder)
{
    return decoder->state == STATE_DONE;
}
