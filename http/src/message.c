/* What a handler asks of a request. Thread: who has it. */
#include "upload.h"

#include <linkbuffer/linkbuffer.h>
#include <mcache/mcache.h>
#include <nhttp/body.h>

#include <errno.h>
#include <string.h>

static struct nhttp_text text_of(const struct nhttp_request *request, struct nhttp_span span)
{
    return (struct nhttp_text){.data = request->bytes + span.offset, .len = span.len};
}

enum nhttp_method nhttp_request_method(const struct nhttp_request *request)
{
    return request->head.method;
}

struct nhttp_text nhttp_request_method_name(const struct nhttp_request *request)
{
    return text_of(request, request->head.method_name);
}

struct nhttp_text nhttp_request_target(const struct nhttp_request *request)
{
    return text_of(request, request->head.target);
}

struct nhttp_text nhttp_request_path(const struct nhttp_request *request)
{
    return request->path;
}

struct nhttp_text nhttp_request_query(const struct nhttp_request *request)
{
    return text_of(request, request->head.query);
}

struct nhttp_text nhttp_request_host(const struct nhttp_request *request)
{
    return text_of(request, request->head.host);
}

uint8_t nhttp_request_minor_version(const struct nhttp_request *request)
{
    return request->head.minor_version;
}

int nhttp_request_field(const struct nhttp_request *request, const char *name,
                        struct nhttp_text *out)
{
    const struct nhttp_field *field = nhttp_head_find(&request->head, request->bytes, name);
    if (field == NULL)
        return -ENOENT;
    *out = text_of(request, field->value);
    return 0;
}

int nhttp_request_field_by_id(const struct nhttp_request *request, enum nhttp_field_id id,
                              struct nhttp_text *out)
{
    const struct nhttp_field *field = nhttp_head_find_id(&request->head, id);
    if (field == NULL)
        return -ENOENT;
    *out = text_of(request, field->value);
    return 0;
}

size_t nhttp_request_field_count(const struct nhttp_request *request)
{
    return request->head.field_count;
}

int nhttp_request_field_at(const struct nhttp_request *request, size_t index,
                           struct nhttp_text *name, struct nhttp_text *value)
{
    if (index >= request->head.field_count)
        return -ENOENT;
    *name = text_of(request, request->head.fields[index].name);
    *value = text_of(request, request->head.fields[index].value);
    return 0;
}

size_t nhttp_request_body_len(const struct nhttp_request *request)
{
    return request->upload == NULL && request->in.lb != NULL ? linkbuffer_len(request->in.lb) : 0;
}

int nhttp_request_body(struct nhttp_request *request, struct nhttp_text *out)
{
    size_t n = nhttp_request_body_len(request);
    const void *data = NULL;
    if (request->upload != NULL)
        return -EINVAL;
    int status = n > 0 ? linkbuffer_peek(request->in.lb, n, &data) : 0;
    if (status == 0)
        *out = (struct nhttp_text){.data = data, .len = n};
    return status;
}

struct linkbuffer *nhttp_request_body_buffer(struct nhttp_request *request)
{
    return request->upload == NULL ? request->in.lb : NULL;
}

struct netpoll_conn *nhttp_request_conn(const struct nhttp_request *request)
{
    return request->c->conn;
}

uint32_t nhttp_request_number(const struct nhttp_request *request)
{
    return request->number;
}

static struct hs_value *find_value(const struct nhttp_request *request, const char *key)
{
    /* Acquire: pairs with the release in nhttp_request_set_value(), for the poller. */
    struct hs_value *value = atomic_load_explicit(&request->values, memory_order_acquire);
    while (value != NULL && strcmp(value->key, key) != 0)
        value = value->next;
    return value;
}

int nhttp_request_set_value(struct nhttp_request *request, const char *key, void *value,
                            void (*destroy)(void *value))
{
    struct hs_value *at = find_value(request, key);
    if (at != NULL) {
        struct hs_value old = {.destroy = at->destroy};
        /* Relaxed, all that follow: one thread at a time sets them. */
        atomic_init(&old.value, atomic_load_explicit(&at->value, memory_order_relaxed));
        at->destroy = destroy;
        atomic_store_explicit(&at->value, value, memory_order_relaxed);
        hs_call_destroy(request->c, &old);
        return 0;
    }
    if (value == NULL)
        return 0;
    size_t n = strlen(key) + 1;
    at = mcache_alloc(sizeof *at + n);
    if (at == NULL)
        return -ENOMEM;
    *at = (struct hs_value){.destroy = destroy};
    atomic_init(&at->value, value);
    at->next = atomic_load_explicit(&request->values, memory_order_relaxed);
    memcpy(at->key, key, n);
    /* Release: pairs with the acquire in find_value(). */
    atomic_store_explicit(&request->values, at, memory_order_release);
    return 0;
}

void *nhttp_request_value(const struct nhttp_request *request, const char *key)
{
    const struct hs_value *value = find_value(request, key);
    /* Relaxed: a function of nhttp_request_on_cancel() asks for what was set before it. */
    return value != NULL ? atomic_load_explicit(&value->value, memory_order_relaxed) : NULL;
}

int nhttp_request_hijack(struct nhttp_request *request, nhttp_hijacked_fn *fn, void *arg)
{
    if (fn == NULL)
        return -EINVAL;
    if (request->hijack_fn != NULL || request->is_head_sent || request->upload != NULL)
        return -EBUSY;
    request->hijack_fn = fn;
    request->hijack_arg = arg;
    return 0;
}

bool nhttp_request_wants_upgrade(const struct nhttp_request *request)
{
    return request->head.wants_upgrade;
}

/* 0; -EAGAIN */
static int look_for_trailers(const struct nhttp_request *request)
{
    return request->upload == NULL || hs_upload_is_over(request->upload) ? 0 : -EAGAIN;
}

static struct nhttp_text trailer_text(const struct nhttp_request *request, struct nhttp_span span)
{
    return (struct nhttp_text){.data = request->in.trailers->bytes + span.offset, .len = span.len};
}

int nhttp_request_trailer(struct nhttp_request *request, const char *name, struct nhttp_text *out)
{
    int status = look_for_trailers(request);
    if (status != 0)
        return status;
    const struct hs_trailers *trailers = request->in.trailers;
    const struct nhttp_field *field =
        trailers != NULL ? nhttp_head_find(&trailers->head, trailers->bytes, name) : NULL;
    if (field == NULL)
        return -ENOENT;
    *out = trailer_text(request, field->value);
    return 0;
}

int nhttp_request_trailer_at(struct nhttp_request *request, size_t index, struct nhttp_text *name,
                             struct nhttp_text *value)
{
    int status = look_for_trailers(request);
    if (status != 0)
        return status;
    const struct hs_trailers *trailers = request->in.trailers;
    if (trailers == NULL || index >= trailers->head.field_count)
        return -ENOENT;
    *name = trailer_text(request, trailers->head.fields[index].name);
    *value = trailer_text(request, trailers->head.fields[index].value);
    return 0;
}
