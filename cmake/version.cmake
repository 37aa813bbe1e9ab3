# The version of every module; <netpoll/version.h> says it to programs.
set(NETPOLL_VERSION_MINOR 0.1)
set(NETPOLL_VERSION ${NETPOLL_VERSION_MINOR}.0)
