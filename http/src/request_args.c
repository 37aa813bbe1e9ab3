/* What a request has of arguments and cookies. Thread: who has the request. */
#include "octets.h"
#include "request.h"

#include <mcache/mcache.h>
#include <nhttp/args.h>
#include <nhttp/cookie.h>
#include <nhttp/escape.h>

#include <errno.h>
#include <string.h>

#define FORM_TYPE "application/x-www-form-urlencoded"

static int decode(struct nhttp_request *request, struct nhttp_text value, struct nhttp_text *out)
{
    struct hs_decoded *decoded = mcache_alloc(sizeof *decoded + value.len + 1);
    if (decoded == NULL)
        return -ENOMEM;
    ssize_t n = nhttp_unescape_query(value, decoded->bytes);
    if (n < 0) {
        mcache_free(decoded);
        return (int)n;
    }
    decoded->next = request->decoded;
    request->decoded = decoded;
    decoded->bytes[n] = '\0';
    *out = (struct nhttp_text){.data = decoded->bytes, .len = (size_t)n};
    return 0;
}

static int find(struct nhttp_request *request, struct nhttp_text all, const char *name,
                struct nhttp_text *out)
{
    struct nhttp_arg arg;
    int status = nhttp_args_find(all, nhttp_text_of(name), 0, &arg);
    return status != 0 ? status : decode(request, arg.value, out);
}

int nhttp_request_query_arg(struct nhttp_request *request, const char *name, struct nhttp_text *out)
{
    return find(request, nhttp_request_query(request), name, out);
}

static bool is_form(const struct nhttp_request *request)
{
    struct nhttp_text type;
    if (nhttp_request_field_by_id(request, NHTTP_FIELD_CONTENT_TYPE, &type) != 0)
        return false;
    size_t n = sizeof FORM_TYPE - 1;
    return hs_begins_with(type, FORM_TYPE) &&
           (type.len == n || strchr("; \t", type.data[n]) != NULL);
}

int nhttp_request_post_arg(struct nhttp_request *request, const char *name, struct nhttp_text *out)
{
    struct nhttp_text body;
    if (!is_form(request) || request->upload != NULL)
        return -ENOENT;
    int status = nhttp_request_body(request, &body);
    return status != 0 ? status : find(request, body, name, out);
}

int nhttp_request_cookie(const struct nhttp_request *request, const char *name,
                         struct nhttp_text *out)
{
    int status = -ENOENT;
    for (size_t i = 0; i < request->head.field_count; i++) {
        struct nhttp_text field_name;
        struct nhttp_text value;
        if (request->head.fields[i].id != NHTTP_FIELD_COOKIE ||
            nhttp_request_field_at(request, i, &field_name, &value) != 0)
            continue;
        int found = nhttp_cookies_find(value, nhttp_text_of(name), 0, out);
        if (found == 0)
            return 0;
        if (found == -E2BIG)
            status = found;
    }
    return status;
}
