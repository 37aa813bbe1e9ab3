/* Words that figures and lines of the log have in common. Any thread. */
#ifndef NP_STATS_H
#define NP_STATS_H

#include <netpoll/conn_options.h>

/* A reason in one word, as labels and the log have it. */
const char *np_close_reason_word(enum netpoll_close_reason reason);

#endif
