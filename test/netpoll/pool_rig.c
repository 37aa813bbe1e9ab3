/* Pools on a rig. */
#include "pool_rig.h"

void pool_rig_start(struct pool_rig *rig)
{
    dial_rig_start(&rig->dial);
    CHECK(netpoll_client_pool_create(rig->dial.dialer, &rig->options, &rig->pool) == 0);
}

void pool_rig_finish(struct pool_rig *rig)
{
    CHECK(netpoll_client_pool_destroy(rig->pool) == 0);
    dial_rig_finish(&rig->dial);
}

struct netpoll_client_pool_stats pool_stats(struct pool_rig *rig)
{
    struct netpoll_client_pool_stats stats;
    netpoll_client_pool_stats_read(rig->pool, &stats);
    return stats;
}

struct netpoll_conn *pool_get_from(struct pool_rig *rig, const char *address)
{
    struct netpoll_conn *conn;
    CHECK(netpoll_client_pool_get(rig->pool, address, DEADLINE_MS, &conn) == 0);
    CHECK(conn != NULL);
    return conn;
}

struct netpoll_conn *pool_get(struct pool_rig *rig)
{
    return pool_get_from(rig, rig->dial.rig.address);
}

int pool_failing_get(struct pool_rig *rig)
{
    struct netpoll_conn *conn = (struct netpoll_conn *)rig;
    int status = netpoll_client_pool_get(rig->pool, rig->dial.rig.address, DEADLINE_MS, &conn);
    CHECK(status != 0 && conn == NULL);
    return status;
}

void pool_put(struct pool_rig *rig, struct netpoll_conn *conn)
{
    CHECK(netpoll_client_pool_put(rig->pool, conn, true) == 0);
}
