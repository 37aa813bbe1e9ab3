/* From names to addresses. Threads of the resolver's own, unless resolver.h says otherwise. */
#include "resolver.h"

#include <mcache/mcache.h>
#include <netpoll/error.h>

#include <errno.h>
#include <netdb.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

void np_resolver_init(struct np_resolver *resolver)
{
    *resolver = (struct np_resolver){0};
    pthread_mutex_init(&resolver->mutex, NULL);
}

void np_resolver_fini(struct np_resolver *resolver)
{
    gopool_destroy(resolver->pool);
    pthread_mutex_destroy(&resolver->mutex);
}

struct np_lookup *np_lookup_new(const struct np_target *target)
{
    struct np_lookup *lookup = mcache_alloc(sizeof *lookup);
    if (lookup == NULL)
        return NULL;
    memset(lookup, 0, sizeof *lookup);
    lookup->family = target->family;
    lookup->port = target->port;
    memcpy(lookup->host, target->host, sizeof lookup->host);
    return lookup;
}

void np_lookup_free(struct np_lookup *lookup)
{
    mcache_free(lookup);
}

void np_lookup_drop(struct np_lookup *lookup)
{
    lookup->owner = NULL;
    /* Relaxed: whoever sees it late asks in vain. */
    atomic_store_explicit(&lookup->dropped, true, memory_order_relaxed);
}

static int status_of(int error)
{
    switch (error) {
    case 0:
        return 0;
    case EAI_NONAME:
    case EAI_NODATA:
    case EAI_ADDRFAMILY:
        return NETPOLL_UNKNOWN_NAME;
    case EAI_MEMORY:
        return -ENOMEM;
    case EAI_SYSTEM:
        return errno != 0 ? -errno : NETPOLL_NAME_FAILED;
    default:
        return NETPOLL_NAME_FAILED;
    }
}

/* The next address whose family is, or is not, the given one; NULL: none. */
static const struct addrinfo *find(const struct addrinfo *from, int family, bool is_it)
{
    while (from != NULL && (from->ai_family == family) != is_it)
        from = from->ai_next;
    return from;
}

static void take(struct np_lookup *lookup, const struct addrinfo **from, int family, bool is_it)
{
    if (*from == NULL || lookup->count == NETPOLL_DIAL_ADDRESSES_MAX)
        return;
    struct np_address *address = &lookup->addresses[lookup->count++];
    *address = (struct np_address){.len = (*from)->ai_addrlen};
    memcpy(&address->storage, (*from)->ai_addr, (*from)->ai_addrlen);
    *from = find((*from)->ai_next, family, is_it);
}

/* The system has put them in order; families take turns, beginning with that of the first:
 * RFC 8305, section 4. */
static void take_all(struct np_lookup *lookup, const struct addrinfo *list)
{
    int family = list->ai_family;
    const struct addrinfo *its = list;
    const struct addrinfo *others = find(list, family, false);
    while ((its != NULL || others != NULL) && lookup->count < NETPOLL_DIAL_ADDRESSES_MAX) {
        take(lookup, &its, family, true);
        take(lookup, &others, family, false);
    }
}

static void ask(struct np_lookup *lookup)
{
    struct addrinfo hints = {
        .ai_family = lookup->family, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    char service[sizeof "65535"];
    snprintf(service, sizeof service, "%u", (unsigned)ntohs(lookup->port));
    errno = 0;
    lookup->status = status_of(getaddrinfo(lookup->host, service, &hints, &list));
    if (lookup->status != 0)
        return;
    take_all(lookup, list);
    freeaddrinfo(list);
}

static void tell(struct np_work *work)
{
    struct np_lookup *lookup =
        (struct np_lookup *)(void *)((char *)work - offsetof(struct np_lookup, work));
    lookup->done(lookup);
}

static void run(void *arg)
{
    struct np_lookup *lookup = arg;
    /* Relaxed: pairs with np_lookup_drop(); see there. */
    if (!atomic_load_explicit(&lookup->dropped, memory_order_relaxed))
        ask(lookup);
    lookup->work.fn = tell;
    np_poller_post(lookup->poller, &lookup->work);
}

/* Under the mutex. */
static int provide_pool(struct np_resolver *resolver, uint32_t threads)
{
    int status = 0;
    if (resolver->pool == NULL) {
        struct gopool_options options = {
            .name = "resolver", .cap = threads, .queue_limit = NETPOLL_LOOKUPS_MAX};
        status = gopool_create(&options, &resolver->pool);
    } else if (threads > resolver->threads) {
        status = gopool_set_cap(resolver->pool, threads);
    }
    if (status == 0 && threads > resolver->threads)
        resolver->threads = threads;
    return status;
}

int np_resolver_start(struct np_resolver *resolver, struct np_lookup *lookup, uint32_t threads)
{
    pthread_mutex_lock(&resolver->mutex);
    int status = provide_pool(resolver, threads);
    pthread_mutex_unlock(&resolver->mutex);
    if (status != 0)
        return status;
    lookup->task =
        (struct gopool_task){.fn = run, .arg = lookup, .flags = GOPOOL_TASK_REJECT_WHEN_FULL};
    return gopool_submit(resolver->pool, &lookup->task);
}
