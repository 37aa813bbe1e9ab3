/* A dialer with a pool of client connections on a rig. */
#ifndef TEST_NETPOLL_POOL_RIG_H
#define TEST_NETPOLL_POOL_RIG_H

#include "dial_rig.h"

#include <netpoll/client_pool.h>

struct pool_rig {
    struct dial_rig dial; /* may be set before the start, as options */
    struct netpoll_client_pool_options options;
    struct netpoll_client_pool *pool;
};

void pool_rig_start(struct pool_rig *rig);
void pool_rig_finish(struct pool_rig *rig);
struct netpoll_client_pool_stats pool_stats(struct pool_rig *rig);

/* Gets that must come about: of an address, of the rig's own. */
struct netpoll_conn *pool_get_from(struct pool_rig *rig, const char *address);
struct netpoll_conn *pool_get(struct pool_rig *rig);
/* A get that fails: its status. */
int pool_failing_get(struct pool_rig *rig);
/* Puts back what is reusable, as far as its user knows. */
void pool_put(struct pool_rig *rig, struct netpoll_conn *conn);

#endif
