/* Bodies that are read while they come. */
#include "upload.h"

#include <mcache/mcache.h>
#include <netpoll/error.h>
#include <netpoll/runtime.h>
#include <nhttp/body.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

struct hs_upload {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    /* Under the mutex. */
    struct linkbuffer *lb; /* what has not been taken */
    uint64_t received;
    uint64_t left;        /* still to come, of a body with a length */
    int status;           /* what there is to say behind lb: 0, -EAGAIN, -ECANCELED */
    bool is_paused;       /* the poller waits for room */
    nhttp_request_fn *fn; /* NULL: nobody waits for it to be called */
    void *arg;
    /* Who has the request. */
    bool wants_continue;
};

static void lock(struct hs_upload *upload)
{
    (void)pthread_mutex_lock(&upload->mutex);
}

static void unlock(struct hs_upload *upload)
{
    (void)pthread_mutex_unlock(&upload->mutex);
}

static int init_changed(pthread_cond_t *changed)
{
    pthread_condattr_t attributes;
    int error = pthread_condattr_init(&attributes);
    if (error != 0)
        return -error;
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    error = pthread_cond_init(changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    return -error;
}

int hs_upload_create(struct nhttp_request *request)
{
    const struct nhttp_head *head = &request->head;
    struct hs_upload *upload = mcache_alloc(sizeof *upload);
    if (upload == NULL)
        return -ENOMEM;
    *upload = (struct hs_upload){
        .lb = request->in.lb,
        .received = request->in.bytes,
        .left = request->in.left,
        .status = -EAGAIN,
        .wants_continue = head->expects_continue && request->in.bytes == 0,
    };
    int status = upload->lb != NULL ? 0 : linkbuffer_create(&upload->lb);
    if (status == 0)
        status = -pthread_mutex_init(&upload->mutex, NULL);
    if (status == 0)
        status = init_changed(&upload->changed);
    if (status != 0) {
        if (upload->lb != request->in.lb)
            linkbuffer_destroy(upload->lb);
        mcache_free(upload);
        return status;
    }
    request->in.lb = NULL;
    request->upload = upload;
    return 0;
}

void hs_upload_destroy(struct hs_upload *upload)
{
    if (upload == NULL)
        return;
    (void)pthread_mutex_destroy(&upload->mutex);
    (void)pthread_cond_destroy(&upload->changed);
    linkbuffer_destroy(upload->lb);
    mcache_free(upload);
}

size_t hs_upload_room(struct nhttp_request *request)
{
    struct hs_upload *upload = request->upload;
    struct nhttp_server *server = request->c->server;
    size_t window = server->options.body_window_bytes;
    lock(upload);
    size_t waits = linkbuffer_len(upload->lb);
    bool is_new = waits >= window && !upload->is_paused;
    upload->is_paused = waits >= window;
    unlock(upload);
    if (is_new)
        hs_count(server->counters, HS_COUNT_BODY_PAUSES);
    return waits < window ? window - waits : 0;
}

/* Takes from `from` to `to`, both whole. */
static int pour(struct linkbuffer *to, struct linkbuffer *from)
{
    int status = linkbuffer_append(to, from);
    linkbuffer_flush(to);
    return status;
}

int hs_upload_give(struct nhttp_request *request, int status)
{
    struct hs_upload *upload = request->upload;
    struct linkbuffer *lb = request->in.lb;
    int error = 0;
    lock(upload);
    if (lb != NULL)
        error = pour(upload->lb, lb);
    upload->received = request->in.bytes;
    upload->left = request->in.left;
    upload->status = error != 0 ? -ECANCELED : status;
    bool is_news = upload->status != -EAGAIN || linkbuffer_len(upload->lb) > 0;
    nhttp_request_fn *fn = is_news ? upload->fn : NULL;
    if (is_news)
        upload->fn = NULL;
    void *arg = upload->arg;
    (void)pthread_cond_broadcast(&upload->changed);
    unlock(upload);
    if (fn != NULL)
        hs_request_resume(request, fn, arg);
    return error;
}

void hs_upload_cancel(struct nhttp_request *request)
{
    request->in.state = HS_BODY_BROKEN;
    linkbuffer_destroy(request->in.lb);
    request->in.lb = NULL;
    (void)hs_upload_give(request, -ECANCELED);
}

uint64_t hs_upload_received(struct hs_upload *upload)
{
    lock(upload);
    uint64_t received = upload->received;
    unlock(upload);
    return received;
}

bool hs_upload_may_drain(struct nhttp_request *request)
{
    struct hs_upload *upload = request->upload;
    lock(upload);
    int status = upload->status;
    uint64_t left = upload->left;
    unlock(upload);
    if (status != -EAGAIN)
        return status == 0;
    return !upload->wants_continue && left <= request->c->server->options.max_drain_bytes;
}

bool hs_upload_is_over(struct hs_upload *upload)
{
    lock(upload);
    bool is_over = upload->status == 0 && linkbuffer_len(upload->lb) == 0;
    unlock(upload);
    return is_over;
}

/* The client waits to be asked for the body. Nothing but the head of an answer may be in its way.
 */
static int invite(struct nhttp_request *request)
{
    struct hs_upload *upload = request->upload;
    if (!upload->wants_continue)
        return 0;
    upload->wants_continue = false;
    if (request->is_head_sent)
        return 0;
    /* Under the mutex: the poller, which may answer instead, waits for it in hs_upload_pass(). */
    lock(upload);
    bool is_overruled =
        atomic_load_explicit(&request->claim, memory_order_acquire) == HS_CLAIM_POLLER;
    int status = is_overruled ? -ECANCELED : hs_write_continue(request->c);
    unlock(upload);
    return status;
}

void hs_upload_pass(struct hs_upload *upload)
{
    lock(upload);
    unlock(upload);
}

/* A body that was there before its handler. */
static ssize_t take_whole(struct nhttp_request *request, struct linkbuffer *to)
{
    size_t n = nhttp_request_body_len(request);
    int status = n > 0 ? pour(to, request->in.lb) : 0;
    return status != 0 ? status : (ssize_t)n;
}

ssize_t nhttp_body_take(struct nhttp_request *request, struct linkbuffer *to)
{
    struct hs_upload *upload = request->upload;
    struct hs_conn *c = request->c;
    if (upload == NULL)
        return take_whole(request, to);
    int status = invite(request);
    if (status != 0)
        return -ECANCELED;
    lock(upload);
    size_t n = linkbuffer_len(upload->lb);
    status = n > 0 ? pour(to, upload->lb) : upload->status;
    bool was_paused = upload->is_paused;
    upload->is_paused = false;
    unlock(upload);
    if (was_paused && netpoll_conn_post(c->conn, hs_go_on, c->server) != 0)
        (void)netpoll_conn_abort(c->conn);
    return status == 0 ? (ssize_t)n : status;
}

static bool is_there(const struct hs_upload *upload)
{
    return upload->status != -EAGAIN || linkbuffer_len(upload->lb) > 0;
}

/* The mutex is held. 0 or -ETIMEDOUT. */
static int wait_locked(struct hs_upload *upload, const struct timespec *until)
{
    int error = 0;
    while (!is_there(upload) && error == 0)
        error = until == NULL ? pthread_cond_wait(&upload->changed, &upload->mutex)
                              : pthread_cond_timedwait(&upload->changed, &upload->mutex, until);
    return is_there(upload) ? 0 : -ETIMEDOUT;
}

static int wait_until(struct hs_upload *upload, const struct timespec *until)
{
    int status = gopool_block_begin();
    if (status != 0 && status != -EPERM)
        return status;
    bool is_replaced = status == 0;
    lock(upload);
    status = wait_locked(upload, until);
    unlock(upload);
    if (is_replaced)
        gopool_block_end();
    return status;
}

int nhttp_body_wait(struct nhttp_request *request, int64_t timeout_ms)
{
    struct hs_upload *upload = request->upload;
    struct timespec until;
    if (timeout_ms < NETPOLL_TIMEOUT_NONE || timeout_ms > NETPOLL_TIMEOUT_MS_MAX)
        return -EINVAL;
    if (upload == NULL)
        return 0;
    if (invite(request) != 0)
        return 0;
    lock(upload);
    bool is_ready = is_there(upload);
    unlock(upload);
    if (is_ready)
        return 0;
    if (timeout_ms == 0)
        return -ETIMEDOUT;
    if (netpoll_runtime_is_poller(request->c->server->runtime))
        return -EDEADLK;
    if (timeout_ms == NETPOLL_TIMEOUT_NONE)
        return wait_until(upload, NULL);
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += timeout_ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    return wait_until(upload, &until);
}

int nhttp_body_on_more(struct nhttp_request *request, nhttp_request_fn *fn, void *arg)
{
    struct hs_upload *upload = request->upload;
    if (fn == NULL || !request->is_deferred)
        return -EINVAL;
    if (upload == NULL || invite(request) != 0)
        return -EALREADY;
    lock(upload);
    bool is_ready = is_there(upload);
    if (!is_ready) {
        upload->fn = fn;
        upload->arg = arg;
    }
    unlock(upload);
    return is_ready ? -EALREADY : 0;
}
