/* Pools by name, and the pool of the process. Any thread. */
#include "registry.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "fork.h"
#include "pool.h"

/* Guards the list. Taken alone. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct gopool *registered;

static pthread_once_t default_once = PTHREAD_ONCE_INIT;
static struct gopool *default_pool;

/* The link to the pool of that name, or to the end of the list. Under the lock. */
static struct gopool **link_to(const char *name)
{
    struct gopool **link = &registered;

    while (*link != NULL && strcmp((*link)->config.name, name) != 0)
        link = &(*link)->next_registered;
    return link;
}

int gopool_register(struct gopool *pool)
{
    int status = 0;

    if (gp_fork_is_foreign(pool))
        return -EPERM;
    pthread_mutex_lock(&lock);
    struct gopool **link = link_to(pool->config.name);
    if (*link != NULL)
        status = -EEXIST;
    else
        *link = pool;
    pthread_mutex_unlock(&lock);
    return status;
}

struct gopool *gopool_find(const char *name)
{
    pthread_mutex_lock(&lock);
    struct gopool *pool = *link_to(name);
    pthread_mutex_unlock(&lock);
    return pool;
}

void gp_registry_remove(struct gopool *pool)
{
    pthread_mutex_lock(&lock);
    struct gopool **link = &registered;
    while (*link != NULL && *link != pool)
        link = &(*link)->next_registered;
    if (*link != NULL)
        *link = pool->next_registered;
    pthread_mutex_unlock(&lock);
}

void gp_registry_clear(void)
{
    pthread_mutex_init(&lock, NULL);
    registered = NULL;
    /* The parent's; the child makes its own. */
    default_once = (pthread_once_t)PTHREAD_ONCE_INIT;
    default_pool = NULL;
}

static void create_default(void)
{
    /* On failure it is NULL, and stays so: nobody is promised a pool later on. */
    (void)!gopool_create(NULL, &default_pool);
}

bool gp_registry_is_default(const struct gopool *pool)
{
    return pool == default_pool;
}

struct gopool *gopool_default(void)
{
    pthread_once(&default_once, create_default);
    return default_pool;
}
