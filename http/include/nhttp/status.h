/**
 * Phrases of statuses: RFC 9110, section 15, and the registry of IANA.
 *
 * Threads: any. Errors: none.
 */
#ifndef NHTTP_STATUS_H
#define NHTTP_STATUS_H

#include <nhttp/export.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The phrase of a status; "Unknown" for one that has none. Static memory. */
NHTTP_API NHTTP_MUST_CHECK const char *nhttp_status_text(int status);

#ifdef __cplusplus
}
#endif

#endif
