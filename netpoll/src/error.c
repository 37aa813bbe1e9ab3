/* Words for errors. Any thread. */
#include <netpoll/error.h>

#include <netpoll/version.h>

#include <stdio.h>
#include <string.h>

int netpoll_version(void)
{
    return NETPOLL_VERSION;
}

const char *netpoll_strerror(int error)
{
    static _Thread_local char unknown[32];
    if (error == 0)
        return "success";
    if (error == NETPOLL_EOF)
        return "end of the peer's bytes";
    if (error == NETPOLL_UNKNOWN_NAME)
        return "unknown host name";
    if (error == NETPOLL_NAME_FAILED)
        return "temporary failure in name resolution";
    const char *word = strerrordesc_np(-error);
    if (word != NULL)
        return word;
    snprintf(unknown, sizeof unknown, "unknown error %d", error);
    return unknown;
}
