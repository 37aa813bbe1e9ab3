/** What names and values of fields may be made of: RFC 9110, section 5. For those who write them.
 */
#ifndef NHTTP_SYNTAX_H
#define NHTTP_SYNTAX_H

#include <nhttp/export.h>

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Whether this is a token, as methods and names of fields are (RFC 9110, section 5.6.2). */
NHTTP_API NHTTP_MUST_CHECK bool nhttp_is_token(const char *text, size_t n);

/** Whether a value has no control byte but tabs: no CR, LF or NUL (RFC 9110, section 5.5). */
NHTTP_API NHTTP_MUST_CHECK bool nhttp_is_value(const char *text, size_t n);

#ifdef __cplusplus
}
#endif

#endif
