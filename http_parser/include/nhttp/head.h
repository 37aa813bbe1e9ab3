/**
 * The head of an HTTP/1.1 message: its first line and its fields, parsed strictly by RFC 9112.
 *
 * Incremental: the caller keeps the bytes of a head together and calls nhttp_head_parse() whenever
 * there are more. Every byte is looked at a bounded number of times, however the bytes are split,
 * and the verdict does not depend on the split. Results are spans, offsets into the head, so the
 * bytes may be moved between calls. The trailer section of a chunked body is parsed by the same
 * code.
 *
 * There is no lenient mode. Refused are, beside what the grammar does not have: bare CR or LF,
 * NUL and other control bytes, white space around a field's name, folded lines, more than one
 * Content-Length, Content-Length beside Transfer-Encoding, any transfer coding but one `chunked`,
 * Transfer-Encoding in HTTP/1.0, no Host or more than one or a malformed one, an absolute target of
 * another host than Host's.
 *
 * Threads: a parser belongs to one thread at a time; different ones are independent.
 * Memory: nothing is allocated; the caller gives the table of fields.
 */
#ifndef NHTTP_HEAD_H
#define NHTTP_HEAD_H

#include <nhttp/export.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Bytes of a head, counted from its first byte. */
struct nhttp_span {
    uint32_t offset;
    uint32_t len;
};

/** Methods of RFC 9110, section 9, and PATCH of RFC 5789. */
enum nhttp_method {
    NHTTP_METHOD_OTHER = 0, /**< any other token: see method_name */
    NHTTP_METHOD_GET = 1,
    NHTTP_METHOD_HEAD = 2,
    NHTTP_METHOD_POST = 3,
    NHTTP_METHOD_PUT = 4,
    NHTTP_METHOD_DELETE = 5,
    NHTTP_METHOD_CONNECT = 6,
    NHTTP_METHOD_OPTIONS = 7,
    NHTTP_METHOD_TRACE = 8,
    NHTTP_METHOD_PATCH = 9,
};

/** Forms of a request's target: RFC 9112, section 3.2. */
enum nhttp_target_form {
    NHTTP_TARGET_ORIGIN = 0,    /**< /path?query */
    NHTTP_TARGET_ABSOLUTE = 1,  /**< http://host/path?query */
    NHTTP_TARGET_AUTHORITY = 2, /**< host:port, of CONNECT */
    NHTTP_TARGET_ASTERISK = 3,  /**< *, of OPTIONS */
};

/** Fields that a server or client acts on; found without comparing names again. */
enum nhttp_field_id {
    NHTTP_FIELD_OTHER = 0,
    NHTTP_FIELD_ACCEPT_ENCODING = 1,
    NHTTP_FIELD_AUTHORIZATION = 2,
    NHTTP_FIELD_CONNECTION = 3,
    NHTTP_FIELD_CONTENT_ENCODING = 4,
    NHTTP_FIELD_CONTENT_LENGTH = 5,
    NHTTP_FIELD_CONTENT_RANGE = 6,
    NHTTP_FIELD_CONTENT_TYPE = 7,
    NHTTP_FIELD_COOKIE = 8,
    NHTTP_FIELD_DATE = 9,
    NHTTP_FIELD_EXPECT = 10,
    NHTTP_FIELD_HOST = 11,
    NHTTP_FIELD_IF_MODIFIED_SINCE = 12,
    NHTTP_FIELD_IF_NONE_MATCH = 13,
    NHTTP_FIELD_KEEP_ALIVE = 14,
    NHTTP_FIELD_LOCATION = 15,
    NHTTP_FIELD_RANGE = 16,
    NHTTP_FIELD_REFERER = 17,
    NHTTP_FIELD_SERVER = 18,
    NHTTP_FIELD_SET_COOKIE = 19,
    NHTTP_FIELD_TE = 20,
    NHTTP_FIELD_TRAILER = 21,
    NHTTP_FIELD_TRANSFER_ENCODING = 22,
    NHTTP_FIELD_UPGRADE = 23,
    NHTTP_FIELD_USER_AGENT = 24,
};

/** One field line: the name as it came, the value without white space around it. */
struct nhttp_field {
    struct nhttp_span name;
    struct nhttp_span value;
    enum nhttp_field_id id;
};

/** What is being parsed. */
enum nhttp_head_kind {
    NHTTP_HEAD_REQUEST = 0,
    NHTTP_HEAD_RESPONSE = 1,
    NHTTP_HEAD_TRAILERS = 2, /**< of a chunked body: no first line, fields and an empty line */
};

/** How the end of the body is found: RFC 9112, section 6.3. */
enum nhttp_body {
    NHTTP_BODY_NONE = 0,
    NHTTP_BODY_LENGTH = 1,      /**< content_length bytes, at least 1 */
    NHTTP_BODY_CHUNKED = 2,     /**< see nhttp/chunked.h */
    NHTTP_BODY_UNTIL_CLOSE = 3, /**< of a response: what comes until the peer closes */
};

/** Default of nhttp_head_limits.line_bytes. RFC 9112, section 3, asks for 8,000 at least. */
#define NHTTP_LINE_BYTES_DEFAULT 8192U
/** Default of nhttp_head_limits.head_bytes. */
#define NHTTP_HEAD_BYTES_DEFAULT 32768U
/** Default of nhttp_head_limits.fields. */
#define NHTTP_HEAD_FIELDS_DEFAULT 100U
/** Largest of any limit of bytes. */
#define NHTTP_HEAD_BYTES_MAX ((uint32_t)1 << 24)

/** 0: the default. */
struct nhttp_head_limits {
    uint32_t line_bytes; /**< of the first line without its end; above: 414, 400 in a response */
    uint32_t head_bytes; /**< of all lines with their ends; above: 431 */
    uint32_t fields;     /**< field lines; above: 431. The table has room for as many */
};

/** A head; filled in as its lines are complete, read when nhttp_head_parse() has found its end. */
struct nhttp_head {
    enum nhttp_head_kind kind;
    uint8_t minor_version; /**< of HTTP/1: 0 or 1; higher ones count as 1 (RFC 9110, 2.5) */

    enum nhttp_method method;      /**< of a request */
    struct nhttp_span method_name; /**< likewise */
    struct nhttp_span target;      /**< likewise, as it came */
    enum nhttp_target_form target_form;
    struct nhttp_span path;  /**< of the target, undecoded; empty when it has none */
    struct nhttp_span query; /**< behind the question mark */
    struct nhttp_span host;  /**< of the target if it names one, else of Host; with the port */

    uint16_t status;          /**< of a response: 100 to 999 */
    struct nhttp_span reason; /**< likewise; may be empty */

    enum nhttp_body body;    /**< of a response: complete with nhttp_head_response_to() */
    uint64_t content_length; /**< of NHTTP_BODY_LENGTH */
    bool has_content_length;
    bool keeps_alive;      /**< neither the version nor Connection asks for the end; of a response:
                                complete with nhttp_head_response_to() */
    bool expects_continue; /**< Expect: 100-continue, and not HTTP/1.0 */
    bool expects_other;    /**< an Expect that nobody knows: 417 */
    bool wants_upgrade;    /**< Connection has upgrade, and not HTTP/1.0; Upgrade says to what */

    struct nhttp_field *fields; /**< the caller's table, in the order they came; trailers without
                                     those that must not be in a trailer (RFC 9110, 6.5.1) */
    uint32_t field_count;
};

/** Parsing of one head. Members are the parser's. */
struct nhttp_head_parser {
    struct nhttp_head head;
    struct nhttp_head_limits limits;
    const char *fault; /**< why it was refused, for logs: a constant text; NULL: it was not */
    uint16_t status;   /**< what a server answers to that: 400, 414, 431, 501 or 505; else 0 */
    uint8_t phase;
    uint8_t seen;       /* what framing has been found, bits */
    uint8_t connection; /* tokens of Connection, bits */
    uint32_t line;      /* where the line begins that is not complete */
    uint32_t mark;      /* where the part of it begins that is being scanned */
    uint32_t scanned;   /* up to here everything is as it may be */
    uint32_t lines;     /* field lines, those of trailers that are left out among them */
};

/**
 * Begins a head.
 *
 * @param limits  NULL: the defaults
 * @param table   for as many fields as the limits say
 * @return 0; -EINVAL for a limit above NHTTP_HEAD_BYTES_MAX, or head_bytes below line_bytes
 *
 * Memory: borrows the table until the head is no longer used.
 */
NHTTP_API NHTTP_MUST_CHECK int nhttp_head_begin(struct nhttp_head_parser *parser,
                                                enum nhttp_head_kind kind,
                                                const struct nhttp_head_limits *limits,
                                                struct nhttp_field *table);

/**
 * Goes on with a head.
 *
 * @param data  all of the head that is there, from its first byte: the bytes of earlier calls,
 *              which may have moved, and further ones
 * @param n     bytes; what follows the head is not looked at
 * @return bytes of the head, the empty line at its end included; -EAGAIN when more have to come;
 *         -EBADMSG when this is no head: parser->status and parser->fault say why, and every
 *         further call says the same
 *
 * Before a request one empty line is skipped (RFC 9112, 2.2); it belongs to the head.
 */
NHTTP_API NHTTP_MUST_CHECK ssize_t nhttp_head_parse(struct nhttp_head_parser *parser,
                                                    const void *data, size_t n);

/**
 * Completes the head of a response by the request that it answers: what body it has, and whether
 * the connection stays.
 *
 * Answers to HEAD, and 1xx, 204 and 304, have none; nor has a 2xx answer to CONNECT, which begins a
 * tunnel. A connection does not stay behind a body that its end ends.
 */
NHTTP_API void nhttp_head_response_to(struct nhttp_head *head, enum nhttp_method method);

/**
 * Finds the first field of a name.
 *
 * @param data  as nhttp_head_parse() had it last
 * @param name  in any case
 * @return NULL when there is none
 */
NHTTP_API NHTTP_MUST_CHECK const struct nhttp_field *
nhttp_head_find(const struct nhttp_head *head, const void *data, const char *name);

/** The same for the fields that have an id, without comparing names. */
NHTTP_API NHTTP_MUST_CHECK const struct nhttp_field *
nhttp_head_find_id(const struct nhttp_head *head, enum nhttp_field_id id);

#ifdef __cplusplus
}
#endif

#endif
