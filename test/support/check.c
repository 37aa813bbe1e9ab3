/* How a check fails. */
#include "check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void check_failed(const char *file, int line, const char *condition)
{
    fprintf(stderr, "%s:%d: check failed: %s (errno: %s)\n", file, line, condition,
            strerror(errno));
    abort();
}
