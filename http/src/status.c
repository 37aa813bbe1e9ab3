/* RFC 9110, section 15, and the registry of IANA. */
#include <nhttp/status.h>

#include <stddef.h>

static const char *const phrases_1[] = {"Continue", "Switching Protocols", "Processing",
                                        "Early Hints"};
static const char *const phrases_2[] = {
    "OK",
    "Created",
    "Accepted",
    "Non-Authoritative Information",
    "No Content",
    "Reset Content",
    "Partial Content",
    "Multi-Status",
    "Already Reported",
    [26] = "IM Used",
};
static const char *const phrases_3[] = {
    "Multiple Choices",   "Moved Permanently", "Found", "See Other",
    "Not Modified",       "Use Proxy",         NULL,    "Temporary Redirect",
    "Permanent Redirect",
};
static const char *const phrases_4[] = {
    "Bad Request",
    "Unauthorized",
    "Payment Required",
    "Forbidden",
    "Not Found",
    "Method Not Allowed",
    "Not Acceptable",
    "Proxy Authentication Required",
    "Request Timeout",
    "Conflict",
    "Gone",
    "Length Required",
    "Precondition Failed",
    "Content Too Large",
    "URI Too Long",
    "Unsupported Media Type",
    "Range Not Satisfiable",
    "Expectation Failed",
    [21] = "Misdirected Request",
    "Unprocessable Content",
    "Locked",
    "Failed Dependency",
    "Too Early",
    "Upgrade Required",
    [28] = "Precondition Required",
    "Too Many Requests",
    [31] = "Request Header Fields Too Large",
    [51] = "Unavailable For Legal Reasons",
};
static const char *const phrases_5[] = {
    "Internal Server Error",
    "Not Implemented",
    "Bad Gateway",
    "Service Unavailable",
    "Gateway Timeout",
    "HTTP Version Not Supported",
    "Variant Also Negotiates",
    "Insufficient Storage",
    "Loop Detected",
    [10] = "Not Extended",
    "Network Authentication Required",
};

#define CLASS(phrases)                                  \
    {                                                   \
        phrases, sizeof(phrases) / sizeof((phrases)[0]) \
    }

static const struct {
    const char *const *phrases;
    size_t n;
} classes[] = {{NULL, 0},        CLASS(phrases_1), CLASS(phrases_2),
               CLASS(phrases_3), CLASS(phrases_4), CLASS(phrases_5)};

const char *nhttp_status_text(int status)
{
    if (status < 100 || status > 599)
        return "Unknown";
    size_t at = (size_t)status % 100;
    size_t class = (size_t)status / 100;
    if (at >= classes[class].n || classes[class].phrases[at] == NULL)
        return "Unknown";
    return classes[class].phrases[at];
}
