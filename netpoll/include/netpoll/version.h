/** Version of the library and of the headers. */
#ifndef NETPOLL_VERSION_H
#define NETPOLL_VERSION_H

#include <netpoll/export.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Version of these headers: 0xMMmmpp. */
#define NETPOLL_VERSION 0x000100

/** Version of the library that is linked, as NETPOLL_VERSION. Thread: any thread. */
NETPOLL_API NETPOLL_MUST_CHECK int netpoll_version(void);

#ifdef __cplusplus
}
#endif

#endif
