/** Phrases of statuses. */
#ifndef NHTTP_STATUS_H
#define NHTTP_STATUS_H

#include <nhttp/export.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The phrase of a status, as in the registry of IANA; "Unknown" for others. Static memory. */
NHTTP_API NHTTP_MUST_CHECK const char *nhttp_status_text(int status);

#ifdef __cplusplus
}
#endif

#endif
