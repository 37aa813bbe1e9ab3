/** What every public header of netpoll needs: visibility and checks. */
#ifndef NETPOLL_EXPORT_H
#define NETPOLL_EXPORT_H

#define NETPOLL_API        __attribute__((visibility("default")))
#define NETPOLL_MUST_CHECK __attribute__((warn_unused_result))

#endif
