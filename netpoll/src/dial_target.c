/* Text to what a dial is to. */
#include "dial_target.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define TCP4_PREFIX "tcp4:"
#define TCP6_PREFIX "tcp6:"
#define UNIX_PREFIX "unix:"

static bool has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static const char *skip_family(const char *text, int *family)
{
    *family = AF_UNSPEC;
    if (has_prefix(text, TCP4_PREFIX))
        *family = AF_INET;
    else if (has_prefix(text, TCP6_PREFIX))
        *family = AF_INET6;
    return *family == AF_UNSPEC ? text : text + strlen(TCP4_PREFIX);
}

/* The address of a numeric host and ":PORT". */
static int add(struct np_target *target, const char *host, const char *port)
{
    char text[NP_HOST_BYTES + sizeof ":65535"];
    struct np_address *address = &target->addresses[target->count];
    int n = snprintf(text, sizeof text, "%s%s", host, port);
    if (n < 0 || (size_t)n >= sizeof text || np_address_parse(text, address) != 0)
        return -EINVAL;
    if (target->family != AF_UNSPEC && target->family != address->storage.ss_family)
        return -EINVAL;
    target->count++;
    return 0;
}

static int add_loopback(struct np_target *target, const char *port)
{
    int status = 0;
    if (target->family != AF_INET)
        status = add(target, "[::1]", port);
    if (status == 0 && target->family != AF_INET6)
        status = add(target, "127.0.0.1", port);
    return status;
}

static bool is_name_byte(char c)
{
    return isalnum((unsigned char)c) != 0 || c == '-' || c == '_' || c == '.';
}

/* Names whose last label begins like a number are addresses, and then spoilt ones: getaddrinfo(3)
 * would find hosts in "1.2" and "0x7f.1". */
static bool is_name(const char *host)
{
    const char *label = host;
    char before = '.';
    for (const char *at = host; *at != '\0'; before = *at++) {
        if (!is_name_byte(*at) || (*at == '.' && before == '.'))
            return false;
        if (before == '.')
            label = at;
    }
    return isdigit((unsigned char)*label) == 0 && *label != '\0';
}

static int set_name(struct np_target *target, const char *port)
{
    struct np_target scratch = {.family = AF_UNSPEC};
    const struct sockaddr_in *in = (const struct sockaddr_in *)&scratch.addresses[0].storage;
    if (!is_name(target->host) || add(&scratch, "0.0.0.0", port) != 0)
        return -EINVAL;
    target->port = in->sin_port;
    return 0;
}

static int parse_tcp(const char *text, struct np_target *out)
{
    const char *colon = strrchr(text, ':');
    if (colon == NULL || (size_t)(colon - text) >= sizeof out->host)
        return -EINVAL;
    memcpy(out->host, text, (size_t)(colon - text));
    out->host[colon - text] = '\0';
    if (out->host[0] != '[' && strchr(out->host, ':') != NULL)
        return -EINVAL;
    if (out->host[0] == '\0' || strcmp(out->host, "localhost") == 0)
        return add_loopback(out, colon);
    return add(out, out->host, colon) == 0 ? 0 : set_name(out, colon);
}

int np_target_parse(const char *text, struct np_target *out)
{
    memset(out, 0, sizeof *out);
    if (text == NULL)
        return -EINVAL;
    if (!has_prefix(text, UNIX_PREFIX))
        return parse_tcp(skip_family(text, &out->family), out);
    out->count = 1;
    return np_address_parse(text, &out->addresses[0]);
}

int np_target_parse_local(const char *text, struct np_address *out)
{
    struct np_target target;
    if (has_prefix(text, UNIX_PREFIX) || np_target_parse(text, &target) != 0 || target.count != 1)
        return -EINVAL;
    *out = target.addresses[0];
    return 0;
}
