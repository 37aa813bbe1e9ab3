#include <nhttp/args.h>

#include <nhttp/escape.h>

#include "words.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The arguments as "[name|value]", "[name]" without a value, then how it ended. */
static const char *told(const char *text, size_t limit)
{
    static char out[256];
    struct nhttp_args args;
    struct nhttp_arg arg;
    int at = 0;
    int status;
    nhttp_args_begin(&args, nhttp_text_of(text), limit);
    while ((status = nhttp_args_next(&args, &arg)) == 0) {
        cr_assert(arg.has_value || arg.value.len == 0);
        at += snprintf(out + at, sizeof out - (size_t)at, "[%.*s%s%.*s]", (int)arg.name.len,
                       arg.name.data, arg.has_value ? "|" : "", (int)arg.value.len, arg.value.data);
    }
    struct nhttp_arg untouched = arg;
    cr_assert_eq(nhttp_args_next(&args, &arg), status, "an end is final");
    cr_assert_eq(memcmp(&arg, &untouched, sizeof arg), 0);
    (void)snprintf(out + at, sizeof out - (size_t)at, "%s",
                   status == -ENOENT  ? ""
                   : status == -E2BIG ? "more"
                                      : "?");
    return out;
}

Test(args, are_taken_apart)
{
    cr_assert_str_eq(told("a=1&b=2", 0), "[a|1][b|2]");
    cr_assert_str_eq(told("", 0), "");
    cr_assert_str_eq(told(NULL, 0), "");
    cr_assert_str_eq(told("a", 0), "[a]");
    cr_assert_str_eq(told("a=", 0), "[a|]");
    cr_assert_str_eq(told("=1", 0), "[|1]");
    cr_assert_str_eq(told("=", 0), "[|]");
    cr_assert_str_eq(told("&&a=1&&&b&", 0), "[a|1][b]");
    cr_assert_str_eq(told("a=b=c&d==", 0), "[a|b=c][d|=]");
    cr_assert_str_eq(told("a=1;b=2", 0), "[a|1;b=2]");
    cr_assert_str_eq(told("a%26b=%3D+c", 0), "[a%26b|%3D+c]");
    cr_assert_str_eq(told("a?b=/#", 0), "[a?b|/#]");
}

Test(args, are_limited)
{
    cr_assert_str_eq(told("a=1&b=2", 1), "[a|1]more");
    cr_assert_str_eq(told("a=1&b=2", 2), "[a|1][b|2]");
    cr_assert_str_eq(told("a=1&&&", 1), "[a|1]");

    struct nhttp_args args;
    struct nhttp_arg arg;
    char many[2 * (NHTTP_ARGS_DEFAULT + 1)];
    for (size_t i = 0; i < sizeof many; i++)
        many[i] = i % 2 == 0 ? 'a' : '&';
    nhttp_args_begin(&args, (struct nhttp_text){many, sizeof many}, 0);
    for (size_t i = 0; i < NHTTP_ARGS_DEFAULT; i++)
        cr_assert_eq(nhttp_args_next(&args, &arg), 0);
    cr_assert_eq(nhttp_args_next(&args, &arg), -E2BIG);
}

Test(args, are_found_by_their_decoded_name)
{
    struct nhttp_text text =
        NHTTP_TEXT("x=0&a+b=1&a%20b=2&%61%62=3&ab=4&A=5&%=6&caf%C3%A9=7&=8&%zz");
    struct nhttp_arg arg;
    cr_assert_eq(nhttp_args_find(text, NHTTP_TEXT("a b"), 0, &arg), 0);
    cr_assert(is_text(arg.value, "1"));
    cr_assert(is_text(arg.name, "a+b"));
    cr_assert_eq(nhttp_args_find(text, NHTTP_TEXT("ab"), 0, &arg), 0);
    cr_assert(is_text(arg.value, "3"));
    cr_assert_eq(nhttp_args_find(text, NHTTP_TEXT("%"), 0, &arg), 0);
    cr_assert(is_text(arg.value, "6"));
    cr_assert_eq(nhttp_args_find(text, NHTTP_TEXT("caf\xc3\xa9"), 0, &arg), 0);
    cr_assert(is_text(arg.value, "7"));
    cr_assert_eq(nhttp_args_find(text, NHTTP_TEXT(""), 0, &arg), 0);
    cr_assert(is_text(arg.value, "8"));
    cr_assert_eq(nhttp_args_find(text, NHTTP_TEXT("%zz"), 0, &arg), 0);
    cr_assert_not(arg.has_value);
    cr_assert_eq(nhttp_args_find(text, NHTTP_TEXT("a"), 0, &arg), -ENOENT);
    cr_assert_eq(nhttp_args_find(text, NHTTP_TEXT("xx"), 0, &arg), -ENOENT);
    cr_assert_eq(nhttp_args_find(text, NHTTP_TEXT("a+b"), 0, &arg), -ENOENT);
    cr_assert_eq(nhttp_args_find(text, NHTTP_TEXT("A"), 6, &arg), 0);
    cr_assert_eq(nhttp_args_find(text, NHTTP_TEXT("A"), 5, &arg), -E2BIG);
}

Test(args, are_counted)
{
    struct nhttp_text text = NHTTP_TEXT("a=1&b=2&a=3&%61=4&a&aa=5");
    cr_assert_eq(nhttp_args_count(text, NHTTP_TEXT("a"), 0), 4);
    cr_assert_eq(nhttp_args_count(text, NHTTP_TEXT("b"), 6), 1);
    cr_assert_eq(nhttp_args_count(text, NHTTP_TEXT("c"), 0), 0);
    cr_assert_eq(nhttp_args_count(text, NHTTP_TEXT("b"), 5), -E2BIG);
}

static int number(const char *value, uint64_t *out)
{
    struct nhttp_arg arg = {.value = nhttp_text_of(value), .has_value = true};
    return nhttp_arg_unsigned(&arg, out);
}

Test(args, numbers)
{
    static const char *const bad[] = {"",   "-1",  "+1", " 1",  "1 ", "1+",   "0x1", "1_0",
                                      "1.", "1e3", "%",  "%3z", "a",  "%30%", "1,0"};
    uint64_t out = 7;
    cr_assert_eq(number("0", &out), 0);
    cr_assert_eq(out, 0);
    cr_assert_eq(number("00012", &out), 0);
    cr_assert_eq(out, 12);
    cr_assert_eq(number("%31%32", &out), 0);
    cr_assert_eq(out, 12);
    cr_assert_eq(number("18446744073709551615", &out), 0);
    cr_assert_eq(out, UINT64_MAX);
    out = 7;
    cr_assert_eq(number("18446744073709551616", &out), -ERANGE);
    cr_assert_eq(number("18446744073709551620", &out), -ERANGE);
    cr_assert_eq(number("99999999999999999999999999999999999999", &out), -ERANGE);
    cr_assert_eq(number("99999999999999999999999999999999999999x", &out), -EINVAL);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_eq(number(bad[i], &out), -EINVAL, "%s", bad[i]);
    cr_assert_eq(out, 7);
}

/* 1, 0, or the error. */
static int yes_or_no(const char *text)
{
    struct nhttp_arg arg;
    bool out = false;
    cr_assert_eq(nhttp_args_find(nhttp_text_of(text), NHTTP_TEXT("x"), 0, &arg), 0);
    int status = nhttp_arg_bool(&arg, &out);
    return status != 0 ? status : out;
}

Test(args, yes_and_no)
{
    static const char *const yes[] = {"x", "x=1", "x=true", "x=True", "x=YES", "x=on", "x=%6fn"};
    static const char *const no[] = {"x=0", "x=false", "x=FALSE", "x=no", "x=oFf"};
    static const char *const bad[] = {"x=", "x=2", "x=01", "x=t", "x=yes+", "x=o", "x=onn"};
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++)
        cr_assert_eq(yes_or_no(yes[i]), 1, "%s", yes[i]);
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++)
        cr_assert_eq(yes_or_no(no[i]), 0, "%s", no[i]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_eq(yes_or_no(bad[i]), -EINVAL, "%s", bad[i]);
}

/* A comparison with a name is the decoding of it. */
Test(args, a_name_is_what_decoding_it_gives)
{
    static const char *const pieces[] = {"a", "b", "+", "%", "%2", "%61", "%2B", "%25", "&", "="};
    struct random random = {3};
    for (int round = 0; round < 100000; round++) {
        char text[64];
        char name[64];
        struct nhttp_args args;
        struct nhttp_arg arg;
        size_t n = random_text(&random, pieces, sizeof pieces / sizeof pieces[0], 12, text);
        size_t bytes = 0;
        nhttp_args_begin(&args, (struct nhttp_text){text, n}, 0);
        while (nhttp_args_next(&args, &arg) == 0) {
            ssize_t len = nhttp_unescape_query(arg.name, name);
            cr_assert_geq(len, 0);
            cr_assert(nhttp_arg_is(&arg, (struct nhttp_text){name, (size_t)len}));
            if (len > 0) {
                cr_assert_not(nhttp_arg_is(&arg, (struct nhttp_text){name, (size_t)len - 1}));
                name[len - 1] ^= 1;
                cr_assert_not(nhttp_arg_is(&arg, (struct nhttp_text){name, (size_t)len}));
            }
            bytes += arg.name.len + arg.has_value + arg.value.len;
        }
        for (size_t i = 0; i < n; i++)
            bytes += text[i] == '&';
        cr_assert_eq(bytes, n, "every byte is somewhere");
    }
}
