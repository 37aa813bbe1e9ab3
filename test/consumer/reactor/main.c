/* A runtime that is started and ended, and nothing of the other modules by name. */
#include <netpoll/netpoll.h>

#include <stdio.h>

int main(void)
{
    struct netpoll_runtime *runtime;
    struct netpoll_backend_info info;
    const struct netpoll_runtime_options options = {.backend = NETPOLL_BACKEND_EPOLL};
    if (netpoll_runtime_create(&options, &runtime) != 0)
        return 1;
    netpoll_runtime_backend(runtime, &info);
    puts(info.name);
    return netpoll_runtime_destroy(runtime) != 0;
}
