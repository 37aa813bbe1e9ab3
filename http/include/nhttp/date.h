/** Dates of HTTP: RFC 9110, section 5.6.7. */
#ifndef NHTTP_DATE_H
#define NHTTP_DATE_H

#include <nhttp/export.h>

#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Bytes of a date, without a NUL. */
#define NHTTP_DATE_BYTES 29

/**
 * Writes a date: "Sun, 06 Nov 1994 08:49:37 GMT".
 *
 * @param time  of the years 1 to 9999; others are taken for the nearest of these
 * @param out   NHTTP_DATE_BYTES, no NUL
 */
NHTTP_API void nhttp_date_format(time_t time, char *out);

#ifdef __cplusplus
}
#endif

#endif
