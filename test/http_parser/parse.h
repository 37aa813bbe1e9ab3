/*
 * Heads through the parser in every way that bytes can be split. The bytes of each call lie in
 * memory of their own size, so that a sanitizer sees what reads beyond them.
 */
#ifndef TEST_HTTP_PARSER_PARSE_H
#define TEST_HTTP_PARSER_PARSE_H

#include <nhttp/head.h>

#define TABLE_FIELDS 100

/* A verdict, and what the head was found to be. */
struct parsed {
    struct nhttp_head_parser parser;
    struct nhttp_field table[TABLE_FIELDS];
    ssize_t result; /* the last one of nhttp_head_parse() */
};

/* What is parsed. */
struct head_case {
    const char *raw;
    size_t n; /* 0: a string */
    enum nhttp_head_kind kind;
    const struct nhttp_head_limits *limits;
};

/* All at once, then byte by byte, then cut once at every place; fails the test when the verdicts or
 * the heads differ. */
void parse_in_every_way(const struct head_case *it, struct parsed *out);

/* Whether the span of the head shows the text. */
int shows(const char *raw, struct nhttp_span span, const char *text);

#endif
