/* What a server's listeners tell and ask it. */
#ifndef NP_SERVER_H
#define NP_SERVER_H

#include "group.h"

#include <netpoll/server.h>

struct np_listener;

/* Its connections. */
struct np_group *np_server_group(struct netpoll_server *server);
/* The poller watches a new listener, or could not. */
void np_server_listener_started(struct netpoll_server *server, struct np_listener *listener,
                                int status);
/* A listener's descriptor is closed; the caller's last touch of both. */
void np_server_listener_gone(struct netpoll_server *server, struct np_listener *listener);

#endif
