"""Differences between the parser and h11 or node that are meant, each with where that is written.
Everything here is a reason why differential.py keeps silent: it says no more than it must."""

import re

# Trailers that nobody gets to see: RFC 9110, 6.5.1.
LEFT_OUT = re.compile(
    rb"accept-encoding|authorization|cache-control|connection|content-(encoding|length|range|type)|"
    rb"cookie|expect|forwarded|host|if-.*|keep-alive|location|max-forwards|pragma|proxy-.*|range|"
    rb"set-cookie|te|trailer|transfer-encoding|upgrade|www-authenticate|x-forwarded.*|x-real-ip",
    re.DOTALL)

STANDARD_METHODS = frozenset((b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS",
                              b"TRACE", b"PATCH"))


def lines(text):
    """The lines of the head at the beginning of a text."""
    return text.split(b"\r\n\r\n")[0].split(b"\r\n")


def has_line(text, pattern):
    return any(re.fullmatch(pattern, line) for line in lines(text))


def follows_one_empty_line(text, mine, its, fault):
    return text[:2] == b"\r\n" and text[2:3] not in (b"\r", b"\n")


def is_another_method(text, mine, its, fault):
    return its is None and mine.method not in STANDARD_METHODS


def is_a_later_minor_version(text, mine, its, fault):
    return its is None and has_line(text, rb"[^ ]+ [^ ]+ HTTP/1\.[2-9]")


def is_pri(text, mine, its, fault):
    return its is None and mine.method == b"PRI"


def has_tab_behind_length(text, mine, its, fault):
    return its is None and has_line(text, rb"(?i)content-length:[ \t]*[0-9]+[ \t]*\t[ \t]*")


def has_tab_behind_coding(text, mine, its, fault):
    return has_line(text, rb"(?i)transfer-encoding:[ \t]*chunked[ \t]*\t[ \t]*")


def is_in_trailers(text, mine, its, fault):
    """The head has been taken, and its body is chunked, so the field stands in the trailers."""
    return (its is not None and (b"transfer-encoding", b"chunked") in mine.fields and
            its.body == mine.body)


def has_zeros_before_size(text, mine, its, fault):
    size = re.match(r"illegal chunk header: bytearray\(b'(0[0-9A-Fa-f]{20,})[;\\]", fault)
    return its is not None and size is not None and int(size[1], 16) < 1 << 63


# What others refuse and we accept: who, how the fault begins, what the request is, and why.
ACCEPTED = [
    ("h11", "no request line received", follows_one_empty_line,
     "one empty line before a request is skipped: RFC 9112, 2.2"),
    ("h11", "illegal chunk header", has_zeros_before_size,
     "a chunk's size may have any number of zeros before it: RFC 9112, 7.1"),
    ("h11", "bad Content-Length", is_in_trailers,
     "framing fields in trailers are left out: RFC 9110, 6.5.1"),
    ("h11", "conflicting Content-Length", is_in_trailers,
     "framing fields in trailers are left out: RFC 9110, 6.5.1"),
    ("h11", "Only Transfer-Encoding: chunked is supported", is_in_trailers,
     "framing fields in trailers are left out: RFC 9110, 6.5.1"),
    ("h11", "multiple Transfer-Encoding", is_in_trailers,
     "framing fields in trailers are left out: RFC 9110, 6.5.1"),
    ("node", "HPE_INVALID_CONTENT_LENGTH: Content-Length can't be present", is_in_trailers,
     "framing fields in trailers are left out: RFC 9110, 6.5.1"),
    ("node", "HPE_INVALID_CONTENT_LENGTH: Invalid character", is_in_trailers,
     "framing fields in trailers are left out: RFC 9110, 6.5.1"),
    ("node", "HPE_INVALID_TRANSFER_ENCODING: Invalid", is_in_trailers,
     "framing fields in trailers are left out: RFC 9110, 6.5.1"),
    ("node", "HPE_INVALID_TRANSFER_ENCODING: Request has invalid", has_tab_behind_coding,
     "HTAB is white space behind a value, too: RFC 9112, 5.1"),
    ("node", "HPE_INVALID_CONTENT_LENGTH: Invalid character", has_tab_behind_length,
     "HTAB is white space behind a value, too: RFC 9112, 5.1"),
    ("node", "HPE_INVALID_METHOD", is_another_method,
     "a method is any token: RFC 9110, 9.1"),
    ("node", "HPE_INVALID_VERSION: Invalid HTTP version", is_a_later_minor_version,
     "a later minor version is understood as the latest known: RFC 9110, 2.5"),
    ("node", "HPE_INVALID_VERSION: Expected HTTP/2", is_pri,
     "PRI is no method of HTTP/1.1, and any token is: RFC 9110, 9.1"),
]


def connection_tokens(request):
    return [token.strip(b" \t").lower() for name, value in request.fields if name == b"connection"
            for token in value.split(b",")]


def says_proxy_connection(text, mine):
    return any(name == b"proxy-connection" for name, _ in mine.fields)


def says_close_and_keep_alive(text, mine):
    tokens = connection_tokens(mine)
    return not mine.keeps_alive and b"close" in tokens and b"keep-alive" in tokens


def is_old_and_stays(text, mine):
    return mine.minor == 0 and mine.keeps_alive and b"keep-alive" in connection_tokens(mine)


def has_tab_behind_close(text, mine):
    return not mine.keeps_alive and has_line(text, rb"(?i)connection:.*close[ \t]*\t[ \t]*(,.*)?")


# What all accept, and understand differently.
CHANGED = [
    ("node", "keeps_alive", says_proxy_connection,
     "Proxy-Connection says nothing to who is no proxy: RFC 9112, C.2.2"),
    ("node", "keeps_alive", says_close_and_keep_alive,
     "close beats keep-alive: RFC 9112, 9.3"),
    ("node", "keeps_alive", has_tab_behind_close,
     "HTAB is white space behind a value, too: RFC 9112, 5.1"),
    ("h11", "keeps_alive", is_old_and_stays,
     "a connection of HTTP/1.0 may stay: RFC 9112, 9.3"),
]

def ends_by_a_trailer(its):
    """Its head said that the connection stays."""
    return its.keeps_alive and (b"transfer-encoding", b"chunked") in its.fields


# What h11 and node accept and we refuse, by our fault.
REFUSED = {
    "CONNECT without host and port": "RFC 9112, 3.2.3",
    "Content-Length above 63 bits": "RFC 9110, 8.6: no overflow of integers",
    "Host that is no host": "RFC 9112, 3.2",
    "Transfer-Encoding in HTTP/1.0": "RFC 9112, 6.1",
    "chunk above 63 bits": "RFC 9112, 7.1: no overflow of integers",
    "chunk extension without a name": "RFC 9112, 7.1.1",
    "chunk extension without a value": "RFC 9112, 7.1.1",
    "fragment in the target": "RFC 9112, 3.2",
    "target of another host than Host's": "RFC 9110, 7.2",
    "target that is none of the four forms": "RFC 9112, 3.2",
    "version that is not HTTP/1": "RFC 9110, 2.5",
}

# What node began to refuse with its version 20, and h11 does not.
REFUSED_SINCE_NODE_20 = {
    "CR without LF": "RFC 9112, 2.2",
    "byte behind a chunk extension": "RFC 9112, 7.1.1",
    "byte that no chunk extension may have": "RFC 9112, 7.1.1",
    "byte that no field's name may have": "RFC 9112, 2.2 and 5.1: LF alone, for one",
    "bytes behind the version": "RFC 9112, 2.2 and 3: LF alone, for one",
    "control byte in a chunk extension": "RFC 9112, 7.1.1",
}


def accepted_for(name, text, fault, mine, its):
    """A reason, or None. The text begins with the request; it may be incomplete in `its`."""
    for who, begin, holds, reason in ACCEPTED:
        if who == name and fault.startswith(begin) and holds(text, mine, its, fault):
            return f"accepted, {name} does not: {reason}"
    return None


def changed_for(name, part, text, mine):
    for who, what, holds, reason in CHANGED:
        if who == name and what == part and holds(text, mine):
            return f"{part}, not as {name}: {reason}"
    return None


def closed_for(name, its):
    """Why another sees an end of the connection behind a request where we do not."""
    if name == "node" and ends_by_a_trailer(its):
        return "closed, node alone: Connection in trailers means nothing: RFC 9110, 6.5.1"
    return None


def refused_for(fault, node_version):
    reason = REFUSED.get(fault)
    if reason is None and node_version < 20:
        reason = REFUSED_SINCE_NODE_20.get(fault)
    return reason and f"refused, others do not: {fault}: {reason}"
