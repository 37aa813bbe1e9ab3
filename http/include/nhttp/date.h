/**
 * Dates of HTTP: RFC 9110, section 5.6.7.
 *
 * Times are seconds since 1970 in UTC without leap seconds, negative before.
 *
 * Threads: any. Neither the locale nor the time zone of the process matters.
 * Memory: the caller's; nothing is allocated. Errors: 0 or a negative errno value.
 */
#ifndef NHTTP_DATE_H
#define NHTTP_DATE_H

#include <nhttp/export.h>
#include <nhttp/text.h>

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

/**
 * Reads a date in any of its three forms, byte for byte:
 *
 *     Sun, 06 Nov 1994 08:49:37 GMT
 *     Sunday, 06-Nov-94 08:49:37 GMT
 *     Sun Nov  6 08:49:37 1994
 *
 * A day that the month does not have is none; the name of the day is not compared with the date. A
 * second 60, of any minute, is the first of the next minute. Years are 1 to 9999.
 *
 * @param now  the second form has two digits of a year: it is the last date with them that is not
 *             more than 50 years after now
 * @param out  untouched on failure
 * @return 0; -EBADMSG: this is no date
 */
NHTTP_API NHTTP_MUST_CHECK int nhttp_date_parse(struct nhttp_text text, time_t now, time_t *out);

#ifdef __cplusplus
}
#endif

#endif
