/* Arguments of queries and forms, looked at where they are. */
#include <nhttp/args.h>

#include "octets.h"

#include <errno.h>

void nhttp_args_begin(struct nhttp_args *args, struct nhttp_text text, size_t limit)
{
    *args = (struct nhttp_args){
        .left = text,
        .limit = limit > 0 ? limit : NHTTP_ARGS_DEFAULT,
    };
}

int nhttp_args_next(struct nhttp_args *args, struct nhttp_arg *out)
{
    while (args->left.len > 0 && args->left.data[0] == '&')
        (void)hs_take(&args->left, 1);
    if (args->left.len == 0)
        return -ENOENT;
    if (args->limit == 0)
        return -E2BIG;
    args->limit--;
    struct nhttp_text value = hs_take_until(&args->left, '&');
    size_t bytes = value.len;
    struct nhttp_text name = hs_take_until(&value, '=');
    *out = (struct nhttp_arg){.name = name, .value = value, .has_value = name.len < bytes};
    return 0;
}

static bool equals_decoded(struct nhttp_text text, struct nhttp_text want, bool any_case)
{
    /* An escape is one byte of three. */
    if (text.len < want.len || text.len / 3 > want.len)
        return false;
    for (size_t i = 0; i < want.len; i++) {
        if (text.len == 0)
            return false;
        char byte = hs_take_query_byte(&text);
        if (byte != want.data[i] && (!any_case || hs_lower(byte) != want.data[i]))
            return false;
    }
    return text.len == 0;
}

bool nhttp_arg_is(const struct nhttp_arg *arg, struct nhttp_text name)
{
    return equals_decoded(arg->name, name, false);
}

int nhttp_args_find(struct nhttp_text text, struct nhttp_text name, size_t limit,
                    struct nhttp_arg *out)
{
    struct nhttp_args args;
    struct nhttp_arg arg;
    int status;
    nhttp_args_begin(&args, text, limit);
    while ((status = nhttp_args_next(&args, &arg)) == 0) {
        if (nhttp_arg_is(&arg, name)) {
            *out = arg;
            return 0;
        }
    }
    return status;
}

ssize_t nhttp_args_count(struct nhttp_text text, struct nhttp_text name, size_t limit)
{
    struct nhttp_args args;
    struct nhttp_arg arg;
    ssize_t count = 0;
    int status;
    nhttp_args_begin(&args, text, limit);
    while ((status = nhttp_args_next(&args, &arg)) == 0)
        count += nhttp_arg_is(&arg, name);
    return status == -ENOENT ? count : status;
}

int nhttp_arg_unsigned(const struct nhttp_arg *arg, uint64_t *out)
{
    struct nhttp_text value = arg->value;
    uint64_t number = 0;
    bool is_over = false;
    if (value.len == 0)
        return -EINVAL;
    while (value.len > 0) {
        char byte = hs_take_query_byte(&value);
        if (!hs_is_digit(byte))
            return -EINVAL;
        uint64_t digit = (uint64_t)(byte - '0');
        if (number > (UINT64_MAX - digit) / 10)
            is_over = true;
        number = number * 10 + digit;
    }
    if (is_over)
        return -ERANGE;
    *out = number;
    return 0;
}

int nhttp_arg_bool(const struct nhttp_arg *arg, bool *out)
{
    static const struct {
        const char *word;
        bool means;
    } words[] = {{"1", true},  {"true", true},   {"yes", true}, {"on", true},
                 {"0", false}, {"false", false}, {"no", false}, {"off", false}};
    if (!arg->has_value) {
        *out = true;
        return 0;
    }
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (equals_decoded(arg->value, nhttp_text_of(words[i].word), true)) {
            *out = words[i].means;
            return 0;
        }
    }
    return -EINVAL;
}
