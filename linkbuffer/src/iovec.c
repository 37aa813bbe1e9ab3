/* The readable chain as struct iovec, for writev(2) and sendmsg(2). Reader side. */
#include "linkbuffer.h"
#include "validate.h"

#include <sys/uio.h>

int linkbuffer_iov(struct linkbuffer *lb, struct iovec *iov, int max)
{
    LB_READER_CALL(lb);
    lb_reader_pull(lb);
    int n = 0;
    for (struct lb_node *node = lb->reader.first; node != NULL && n < max; node = node->next) {
        iov[n].iov_base = node->data;
        iov[n].iov_len = node->len;
        n++;
    }
    return n;
}
