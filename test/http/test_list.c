#include <nhttp/list.h>

#include "words.h"

#include <criterion/criterion.h>

#include <stdio.h>

/* The elements, each in brackets. */
static const char *told(const char *field)
{
    static char out[256];
    struct nhttp_text list = nhttp_text_of(field);
    struct nhttp_text element = NHTTP_TEXT("untouched");
    int at = 0;
    out[0] = '\0';
    while (nhttp_list_next(&list, &element))
        at += snprintf(out + at, sizeof out - (size_t)at, "[%.*s]", (int)element.len, element.data);
    struct nhttp_text last = element;
    cr_assert_not(nhttp_list_next(&list, &element));
    cr_assert(nhttp_text_equals(element, last));
    return out;
}

Test(list, is_taken_apart)
{
    cr_assert_str_eq(told("a, b"), "[a][b]");
    cr_assert_str_eq(told(""), "");
    cr_assert_str_eq(told(NULL), "");
    cr_assert_str_eq(told(" ,\t, ,"), "");
    cr_assert_str_eq(told(",a,,b \t,"), "[a][b]");
    cr_assert_str_eq(told("gzip;q=0.5, br ; q=1"), "[gzip;q=0.5][br ; q=1]");
    cr_assert_str_eq(told("a;b=\"c, d\", e"), "[a;b=\"c, d\"][e]");
    cr_assert_str_eq(told("a;b=\"c\\\", d\", e"), "[a;b=\"c\\\", d\"][e]");
    cr_assert_str_eq(told("a;b=\"c\\\\\", d"), "[a;b=\"c\\\\\"][d]");
    cr_assert_str_eq(told("a\\, b"), "[a\\][b]");
    cr_assert_str_eq(told("a, \"b, c"), "[a][\"b, c]");
    cr_assert_str_eq(told("\"\\"), "[\"\\]");
    cr_assert_str_eq(told("a b, c"), "[a b][c]");
}

Test(list, has_a_token_in_any_case)
{
    struct nhttp_text list = NHTTP_TEXT("Keep-Alive, Upgrade , foo;q=1,\"close\"");
    cr_assert(nhttp_list_has(list, NHTTP_TEXT("keep-alive")));
    cr_assert(nhttp_list_has(list, NHTTP_TEXT("UPGRADE")));
    cr_assert_not(nhttp_list_has(list, NHTTP_TEXT("foo")));
    cr_assert_not(nhttp_list_has(list, NHTTP_TEXT("close")));
    cr_assert_not(nhttp_list_has(list, NHTTP_TEXT("keep")));
    cr_assert_not(nhttp_list_has(list, NHTTP_TEXT("")));
    cr_assert_not(nhttp_list_has(NHTTP_TEXT(""), NHTTP_TEXT("")));
}
