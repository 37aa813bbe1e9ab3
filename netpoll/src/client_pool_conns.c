/* Connections of a pool of clients: idle ones by address, and those that are handed out. Under the
 * pool's mutex. */
#include "client_pool.h"

#include "clock.h"
#include "conn.h"

#include <mcache/mcache.h>

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* No address is that long. */
#define ADDRESS_MAX 300

void np_client_list_init(struct np_client_link *list)
{
    list->newer = list;
    list->older = list;
}

static void push(struct np_client_link *list, struct np_client_link *link)
{
    link->newer = list;
    link->older = list->older;
    list->older->newer = link;
    list->older = link;
}

static void unlink_from_list(struct np_client_link *link)
{
    link->newer->older = link->older;
    link->older->newer = link->newer;
}

struct np_client *np_client_of_pool_link(struct np_client_link *link)
{
    return (struct np_client *)(void *)((char *)link - offsetof(struct np_client, of_pool));
}

static struct np_client *of_address_link(struct np_client_link *link)
{
    return (struct np_client *)(void *)((char *)link - offsetof(struct np_client, of_address));
}

static struct np_client_address *find_address(const struct np_hash *addresses, uint64_t hash,
                                              const char *text, size_t length)
{
    struct np_hash_node *node = np_hash_first(addresses, hash);
    for (; node != NULL; node = np_hash_next(node)) {
        struct np_client_address *address = (struct np_client_address *)node;
        if (address->length == length && memcmp(address->text, text, length) == 0)
            return address;
    }
    return NULL;
}

int np_client_address_get(struct netpoll_client_pool *pool, const char *text,
                          struct np_client_address **out)
{
    size_t length = text != NULL ? strnlen(text, ADDRESS_MAX + 1) : SIZE_MAX;
    if (length > ADDRESS_MAX)
        return -EINVAL;
    uint64_t hash = np_hash_bytes(text, length);
    *out = find_address(&pool->addresses, hash, text, length);
    if (*out != NULL)
        return 0;
    struct np_client_address *address = mcache_alloc(sizeof *address + length + 1);
    if (address == NULL)
        return -ENOMEM;
    *address = (struct np_client_address){.node.hash = hash, .length = length};
    memcpy(address->text, text, length + 1);
    np_client_list_init(&address->idle);
    address->waits_end = &address->waits;
    if (np_hash_add(&pool->addresses, &address->node) != 0) {
        mcache_free(address);
        return -ENOMEM;
    }
    *out = address;
    return 0;
}

void np_client_address_drop(struct netpoll_client_pool *pool, struct np_client_address *address)
{
    /* Who waits does so for a connection that counts. */
    if (address->count > 0)
        return;
    np_hash_remove(&pool->addresses, &address->node);
    mcache_free(address);
}

void np_client_wait_add(struct netpoll_client_pool *pool, struct np_client_address *address,
                        struct np_client_wait *wait)
{
    wait->next = NULL;
    wait->link = address->waits_end;
    wait->address = address;
    wait->turn = NP_CLIENT_WAITS;
    *address->waits_end = wait;
    address->waits_end = &wait->next;
    pool->stats.waiting++;
}

void np_client_wait_remove(struct netpoll_client_pool *pool, struct np_client_wait *wait)
{
    *wait->link = wait->next;
    if (wait->next != NULL)
        wait->next->link = wait->link;
    else
        wait->address->waits_end = wait->link;
    pool->stats.waiting--;
}

/* Hands the first who waits what it waits for; false: nobody does. */
static bool wake_first(struct netpoll_client_pool *pool, struct np_client_address *address,
                       enum np_client_turn turn, struct np_client *client)
{
    struct np_client_wait *wait = address->waits;
    if (wait == NULL)
        return false;
    np_client_wait_remove(pool, wait);
    wait->turn = turn;
    wait->client = client;
    wait->wake(wait);
    return true;
}

void np_client_end_waits(struct netpoll_client_pool *pool, struct np_client_address *address)
{
    while (wake_first(pool, address, NP_CLIENT_GETS_NONE, NULL))
        ;
}

void np_client_give_place(struct netpoll_client_pool *pool, struct np_client_address *address)
{
    if (wake_first(pool, address, NP_CLIENT_GETS_PLACE, NULL))
        return;
    address->count--;
    np_client_address_drop(pool, address);
}

static void list_idle(struct np_client *client)
{
    client->state = NP_CLIENT_IDLE;
    client->idle_since_ms = np_clock_ms();
    push(&client->address->idle, &client->of_address);
    push(&client->pool->idle, &client->of_pool);
    client->address->idle_count++;
    client->pool->stats.idle++;
}

static void unlist_idle(struct np_client *client, enum np_client_state state)
{
    client->state = (uint8_t)state;
    unlink_from_list(&client->of_address);
    unlink_from_list(&client->of_pool);
    client->address->idle_count--;
    client->pool->stats.idle--;
}

static void free_client(struct np_client *client)
{
    np_hash_remove(&client->pool->conns, &client->node);
    mcache_free(client);
}

/* The handle of the user, or of who waits, is the pool's reference now. */
static void let_go(struct netpoll_conn *conn)
{
    /* As netpoll_conn_release(), but the poller is woken only if it waits for this: a transition
     * that changes nothing comes before or after the one of the poller, which looks at the handles
     * after it. So one of the two sees the other. Pairs with is_retained() in conn_sync.c. */
    atomic_fetch_sub_explicit(&conn->handles, 1, memory_order_acq_rel);
    uint64_t word = np_state_clear(&conn->state, 0);
    if ((word & (NP_CONN_PEER_EOF | NP_CONN_SHUTDOWN)) != 0 && np_state_poke(&conn->state, 0))
        np_conn_poke(conn);
}

/* The other way round; the word as the poller will find it, or has left it. */
static uint64_t take_hold(struct netpoll_conn *conn)
{
    atomic_fetch_add_explicit(&conn->handles, 1, memory_order_acq_rel);
    return np_state_clear(&conn->state, 0);
}

static bool is_fit(const struct netpoll_conn *conn, uint64_t word)
{
    return (word & (NP_CONN_CLOSING | NP_CONN_PEER_EOF | NP_CONN_SHUTDOWN)) == 0 &&
           linkbuffer_unread(conn->input.lb) == 0;
}

static bool is_too_old(const struct np_client *client)
{
    int64_t max_age_ms = client->pool->options.max_age_ms;
    return max_age_ms != NETPOLL_TIMEOUT_NONE &&
           np_clock_ms() - client->born_ms >= (uint64_t)max_age_ms;
}

void np_client_close_idle(struct np_client *client)
{
    struct netpoll_conn *conn = client->conn;
    unlist_idle(client, NP_CLIENT_CLOSING);
    (void)np_conn_close(conn, NETPOLL_CLOSE_USER, 0);
    /* Not the last one: the close callback has not run, or it would not have been idle. */
    np_conn_unref(conn);
}

struct np_client *np_client_take(struct netpoll_client_pool *pool,
                                 struct np_client_address *address)
{
    while (address->idle.older != &address->idle) {
        struct np_client *client = of_address_link(address->idle.older);
        bool is_old = is_too_old(client);
        bool is_good = !is_old && is_fit(client->conn, take_hold(client->conn));
        if (is_good) {
            unlist_idle(client, NP_CLIENT_USED);
            client->is_reused = true;
            return client;
        }
        pool->stats.too_old += is_old;
        pool->stats.unfit += !is_old;
        if (!is_old)
            let_go(client->conn);
        np_client_close_idle(client);
    }
    return NULL;
}

/* Close callback. */
static void forget(struct netpoll_conn *conn, void *arg)
{
    struct np_client *client = arg;
    struct netpoll_client_pool *pool = client->pool;
    pthread_mutex_lock(&pool->mutex);
    struct np_client_address *address = client->address;
    bool was_idle = client->state == NP_CLIENT_IDLE;
    client->is_ended = true;
    if (was_idle) {
        unlist_idle(client, NP_CLIENT_CLOSING);
        pool->stats.hung_up++;
    }
    if (client->state == NP_CLIENT_CLOSING)
        free_client(client);
    else
        client->address = NULL; /* which may go before the put */
    np_client_give_place(pool, address);
    pthread_cond_broadcast(&pool->changed);
    pthread_mutex_unlock(&pool->mutex);
    if (was_idle)
        np_conn_unref(conn);
}

int np_client_add(struct netpoll_client_pool *pool, struct np_client_address *address,
                  struct netpoll_conn *conn)
{
    struct np_client *client = mcache_alloc(sizeof *client);
    if (client == NULL)
        return -ENOMEM;
    *client = (struct np_client){
        .node.hash = np_hash_pointer(conn),
        .pool = pool,
        .address = address,
        .conn = conn,
        .born_ms = np_clock_ms(),
        .state = NP_CLIENT_USED,
    };
    if (np_hash_add(&pool->conns, &client->node) != 0) {
        mcache_free(client);
        return -ENOMEM;
    }
    int status = netpoll_conn_add_close_callback(conn, forget, client);
    if (status == 0)
        return 0;
    free_client(client);
    return status == -ENOTCONN ? -ECONNRESET : status;
}

static struct np_client *find_used(const struct netpoll_client_pool *pool,
                                   const struct netpoll_conn *conn)
{
    struct np_hash_node *node = np_hash_first(&pool->conns, np_hash_pointer(conn));
    for (; node != NULL; node = np_hash_next(node)) {
        struct np_client *client = (struct np_client *)node;
        if (client->conn == conn)
            return client->state == NP_CLIENT_USED ? client : NULL;
    }
    return NULL;
}

static void keep_within_bounds(struct netpoll_client_pool *pool, struct np_client_address *address)
{
    struct np_client *excess = NULL;
    if (address->idle_count > pool->options.max_idle_per_address)
        excess = of_address_link(address->idle.newer);
    else if (pool->stats.idle > pool->options.max_idle)
        excess = np_client_of_pool_link(pool->idle.newer);
    if (excess == NULL)
        return;
    pool->stats.evicted++;
    np_client_close_idle(excess);
}

static void keep(struct netpoll_client_pool *pool, struct np_client *client)
{
    struct np_client_address *address = client->address;
    if (address->waits != NULL) {
        client->is_reused = true;
        (void)wake_first(pool, address, NP_CLIENT_GETS_CONN, client);
        return;
    }
    /* Without on_request nobody else gives back what was consumed. */
    if (client->conn->group->options.on_request == NULL)
        linkbuffer_release(client->conn->input.lb);
    pool->stats.in_use--;
    list_idle(client);
    let_go(client->conn);
    keep_within_bounds(pool, address);
    np_client_pool_arm(pool);
}

/* What is not kept: true. The caller closes it and lets go of it outside of the mutex. */
static bool is_put_away(struct netpoll_client_pool *pool, struct np_client *client, bool reusable)
{
    bool is_old = !client->is_ended && is_too_old(client);
    uint64_t word = np_state_clear(&client->conn->state, 0);
    if (reusable && !is_old && !client->is_ended && !pool->is_stopped && is_fit(client->conn, word))
        return false;
    pool->stats.too_old += is_old;
    pool->stats.in_use--;
    if (client->is_ended)
        free_client(client);
    else
        client->state = NP_CLIENT_CLOSING;
    return true;
}

int netpoll_client_pool_put(struct netpoll_client_pool *pool, struct netpoll_conn *conn,
                            bool reusable)
{
    pthread_mutex_lock(&pool->mutex);
    struct np_client *client = find_used(pool, conn);
    bool is_away = client != NULL && is_put_away(pool, client, reusable);
    if (client != NULL && !is_away)
        keep(pool, client);
    pthread_mutex_unlock(&pool->mutex);
    if (is_away) {
        (void)netpoll_conn_close(conn);
        netpoll_conn_release(conn);
    }
    return client != NULL ? 0 : -EINVAL;
}

bool netpoll_client_pool_is_reused(struct netpoll_client_pool *pool,
                                   const struct netpoll_conn *conn)
{
    pthread_mutex_lock(&pool->mutex);
    const struct np_client *client = find_used(pool, conn);
    bool is_reused = client != NULL && client->is_reused;
    pthread_mutex_unlock(&pool->mutex);
    return is_reused;
}
