"""Streams of HTTP/1.1 requests for comparisons of parsers: a grammar, and faults that are put in
where framing is decided. The same number gives the same stream."""

import random

NASTY = [b"\r", b"\n", b"\r\n", b"\n\r", b"\r\r\n", b"\0", b"\t", b" ", b"\x0b", b"\x0c", b"\x7f",
         b"\x80", b"\xff", b"\x01", b":", b",", b";", b"=", b'"', b"\\", b"0", b"1", b"5", b"a",
         b"F", b"+", b"-", b"_", b"x", b"#", b"?", b"/", b"@", b"[", b"]", b"%", b"\r\n ",
         b"\r\n\t", b"\r\n\r\n", b"0\r\n\r\n", b"\xc2\xa0"]
METHODS = [b"GET"] * 6 + [b"POST"] * 8 + [b"PUT", b"HEAD", b"DELETE", b"OPTIONS", b"PATCH",
                                           b"TRACE"]
ODD_METHODS = [b"get", b"GET\t", b"", b"G{T", b"FOO", b"G\xc3\xa9T", b"M-SEARCH", b"CONNECT",
               b"PRI", b'G"T', b"POST\0", b" GET", b"\tGET", b"POST ", b"QUERY"]
TARGETS = [b"/"] * 4 + [b"/a?b=c", b"/a/%41;x", b"http://a/x", b"http://a", b"/?", b"/|<>^`{}"]
ODD_TARGETS = [b"*", b"", b"a", b"/a b", b"/#f", b"/\xc3\xa9", b"//a", b"ftp://a/", b"http://b/",
               b"http://u@a/", b"http:///x", b"a:80", b"/\t", b"/\x7f", b"https://A?q", b"/\0",
               b"/\\", b'/"', b"http://a:99999/"]
VERSIONS = [b"HTTP/1.1"] * 15 + [b"HTTP/1.0"] * 2
ODD_VERSIONS = [b"HTTP/1.2", b"HTTP/1.9", b"HTTP/2.0", b"HTTP/0.9", b"HTTP/1.10", b"HTTP/01.1",
                b"http/1.1", b"HTTP/1", b"HTTP/1,1", b"", b"HTTP/1.1 ", b" HTTP/1.1", b"HTTP/ 1.1",
                b"HTTP/+1.1", b"HTTP/1.1x"]
HOSTS = [b"a"] * 6 + [b"a.example:8080", b"127.0.0.1", b"[::1]:80", b"A", b"a:"]
ODD_HOSTS = [b"", b"a/b", b"a, b", b"a b", b"u@a", b"[::1", b"a:b", b"a:65536", b"\xc3\xa9",
             b"a%4", b"a%41", b"[::g]", b"a\\b", b"a?b"]
FIELDS = [(b"Accept", b"*/*"), (b"X", b"y"), (b"X", b""), (b"Cookie", b"k=v; w"),
          (b"User-Agent", b"t/1 (a; b)"), (b"X", b"\xe9\xff"), (b"Connection", b"keep-alive"),
          (b"X-Y", b"a\tb"), (b"Expect", b"100-continue"), (b"!#$%&'*+-.^_`|~0", b"1"),
          (b"Content-Type", b"text/plain"), (b"Keep-Alive", b"timeout=5"), (b"TE", b"trailers"),
          (b"Content_Length", b"3"), (b"Content-Length-X", b"7"), (b"XTransfer-Encoding", b"gzip"),
          (b"Proxy-Connection", b"close"), (b"Trailer", b"X"), (b"Connection", b"foo, Close"),
          (b"Connection", b"close"), (b"Connection", b"keep-alive,close"), (b"Connection", b","),
          (b"Connection", b"closed"), (b"Connection", b"close x"), (b"Connection", b""),
          (b"Expect", b"x")]
ODD_FIELDS = [b"X : y", b"X\t: y", b" X: y", b"\tX: y", b"NoColon", b": y", b":", b"B[N]: 1",
              b"B N: 1", b"X\xc3\xa9: 1", b"X: a\0b", b"X: a\rb", b"X: a\nb", b"X: a\x01b",
              b"X: a\x7fb", b"X: a\r\n b", b"X:\r\n\tb", b"\rX: y", b"X: y\r", b"X:\x0by",
              b"Transfer-Encoding", b"Content-Length", b"Transfer-\r\nEncoding: chunked",
              b"Content-Length\0: 5", b"X: \x85", b"\xa0X: y", b"X: a\x0cb", b"X: \r\n",
              b"X:\r\n", b"(X): y", b'"X": y', b"X: a\x1fb", b"X, Y: z", b"X\r: y"]
LENGTHS = [b"+%d", b"-%d", b"%d, %d", b"%d,%d", b"0x%d", b"%d.0", b"%d ", b" %d", b"\t%d\t",
           b"00%d", b"%d\x0b", b"\x0b%d", b"", b"%d 1", b"%d_0", b"99999999999999999999", b"%d;a",
           b"18446744073709551616", b"9223372036854775807", b"9223372036854775808", b"%dx",
           b"\"%d\"", b"%d,", b",%d", b"1e1", b"%d\r\n ", b"\r\n %d", b"0" * 30 + b"%d", b"0",
           b"1", b"-0", b"%d\xa0", b"\xef\xbc\x95", b"4294967296", b"4294967301", b"%d\0"]
CODINGS = [b"Chunked", b"CHUNKED", b"chunked ", b" chunked", b"\tchunked", b"chunked\t", b"",
           b"\x0bchunked", b"chunked\x0b", b"chunked\x0c", b"gzip, chunked", b"chunked, gzip",
           b"chunked, chunked", b"chunked,chunked", b",chunked", b"chunked,", b", chunked",
           b"identity", b"identity, chunked", b"chunked, identity", b"xchunked", b"chunkedx",
           b"chunked;q=1", b"chunked; a=b", b"\"chunked\"", b"'chunked'", b"gzip", b"chunke",
           b"chunked\0", b"chunked\r\n ", b"\r\n chunked", b"\r\n\tchunked", b"chu\r\n nked",
           b"chunked\xa0", b"\x00chunked", b"chunked chunked", b"gzip chunked", b"chunked\x7f",
           b"c\xc4\xa5unked", b"trailers", b"deflate", b"chunked,,", b"null"]
SIZES = [b"0x%x", b"+%x", b"-%x", b" %x", b"%x ", b"%x\t", b"%x ;a", b"%x; a", b"%x;", b"%x;a",
         b"%x;a=b", b"%x;a=", b"%x;=b", b"%x;a=\"b\"", b"%x;a=\"b", b"%x;a=\"b\\\"c\"", b"%x;a=b;c",
         b"%x;a b", b"%x;a=\"b\"c", b"%x;\xe9", b"%x;a=\"\xe9\"", b"%x;a\0", b"%x;a\nb",
         b"%x;a\rb", b"%x,a", b"%X", b"000%x", b"0" * 15 + b"%x", b"0" * 25 + b"%x", b"", b"%x_0",
         b"1%015x", b"1%016x", b"7fffffffffffffff", b"8000000000000000", b"ffffffffffffffff",
         b"10000000000000005", b"%xg", b"%x\r", b"\r%x", b"%x\0", b"%x\x0b", b"%x.0", b"%xh",
         b"\n%x", b"%x;a\x7f", b"%x;\ta", b"%x\t;a", b"%x;a =b", b"%x;a= b", b"%x;;", b"%x;a=b\\",
         b"%x;a=\"\\\x01\"", b"%x;a=\"b\nc\"", b"%x;a=\"b\r\nc\"", b"%x;a=\"b\rc\"",
         b"%x;a:b", b"%x;\"a\"", b"5;%x", b"%x\xa0"]
ENDS = [b"\n", b"\r", b"\n\r", b"\r\r\n", b"\r\n\r\n", b"", b"\r\n ", b" \r\n", b"\0\r\n",
        b"\r\n\n", b"\n\n"]
TRAILERS = [b"X: y", b"Date: now", b"X:POST / HTTP/1.1", b"Content-Length: 5",
            b"Content-Length: 05x", b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip",
            b"Host: b", b"Connection: close", b"X-Forwarded-For: z", b"Trailer: X"]
BODIES = [b"", b"x", b"hello", b"0123456789abcdef", b"0\r\n\r\n", b"\r\n", b"\0\r\n\xff\n",
          b"GET /in HTTP/1.1\r\nHost: a\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"y" * 100]


class Request:
    """A request in parts. Lines of the head carry their end."""

    def __init__(self, rand):
        self.rand = rand
        self.method = rand.choice(METHODS)
        self.target = rand.choice(TARGETS)
        self.version = rand.choice(VERSIONS)
        self.first_end = b"\r\n"
        host = self.target[7:].split(b"/")[0] if self.target[:1] == b"h" else rand.choice(HOSTS)
        self.lines = [[b"Host: " + host, b"\r\n"]]
        for _ in range(rand.choice((0, 0, 1, 2, 4))):
            field = rand.choice(FIELDS)
            # Most streams go on behind their first request.
            if field[0] != b"Connection" or rand.random() < 0.3:
                self.add(b"%s: %s" % field)
        self.end = b"\r\n"
        self.body = rand.choice(BODIES)
        self.chunks = []
        self.trailers = []
        kind = rand.random()
        if kind < 0.25:
            self.body = b""
        elif kind < 0.55:
            self.add(b"Content-Length: %d" % len(self.body))
        else:
            if self.version == b"HTTP/1.0" and rand.random() < 0.8:
                self.version = b"HTTP/1.1"
            self.add(b"Transfer-Encoding: chunked")
            self.cut()
        rand.shuffle(self.lines)

    def add(self, line):
        self.lines.append([line, b"\r\n"])

    def cut(self):
        """The body as chunks: size, end of the line, data, end of the data."""
        rest = self.body
        while rest:
            n = self.rand.choice((1, 2, 5, 10, 17, len(rest)))
            size = self.rand.choice((b"%x", b"%x", b"%X", b"0%x", b"%x;a=b")) % len(rest[:n])
            self.chunks.append([size, b"\r\n", rest[:n], b"\r\n"])
            rest = rest[n:]
        self.chunks.append([self.rand.choice((b"0", b"0", b"0", b"00", b"0;x")), b"\r\n", b"", b""])
        for _ in range(self.rand.choice((0, 0, 0, 0, 1, 2))):
            self.trailers.append([self.rand.choice(TRAILERS[:3]), b"\r\n"])
        self.trailers.append([b"", b"\r\n"])

    def text(self):
        out = [self.method, b" ", self.target, b" ", self.version, self.first_end]
        for line in self.lines:
            out += line
        out.append(self.end)
        if self.chunks:
            for part in self.chunks + self.trailers:
                out += part
        else:
            out.append(self.body)
        return b"".join(out)


def filled(form, n):
    """A form with a number in as many places as it has."""
    return form % ((n,) * form.count(b"%"))


def is_framing(line):
    return line[0][:15].lower() == b"content-length:" or line[0][:9].lower() == b"transfer-"


def change_length(request, rand):
    value = filled(rand.choice(LENGTHS), len(request.body))
    name = rand.choice((b"Content-Length", b"content-length", b"CONTENT-LENGTH"))
    line = name + rand.choice((b": ", b":", b":\t", b": ", b" : ")) + value
    change_framing(request, rand, line)


def change_coding(request, rand):
    value = rand.choice(CODINGS)
    line = b"Transfer-Encoding" + rand.choice((b": ", b":", b": ", b" : ")) + value
    change_framing(request, rand, line)


def change_framing(request, rand, line):
    """Instead of the line that says it, or beside that."""
    framing = [i for i, it in enumerate(request.lines) if is_framing(it)]
    if framing and rand.random() < 0.6:
        request.lines[rand.choice(framing)][0] = line
    else:
        request.lines.insert(rand.randint(0, len(request.lines)), [line, b"\r\n"])


def change_both(request, rand):
    lines = [b"Content-Length: %d" % rand.choice((len(request.body), 0, 5)),
             b"Transfer-Encoding: chunked"]
    change_framing(request, rand, rand.choice(lines))


def change_double(request, rand):
    line = list(rand.choice(request.lines)) if request.lines else [b"Host: a", b"\r\n"]
    if rand.random() < 0.3:
        line[0] = line[0].swapcase()
    request.lines.insert(rand.randint(0, len(request.lines)), line)


def change_size(request, rand):
    if not request.chunks:
        return change_length(request, rand)
    chunk = rand.choice(request.chunks)
    n = len(chunk[2])
    if rand.random() < 0.25:
        n = max(0, n + rand.choice((-1, 1, 2, 16)))
        chunk[0] = b"%x" % n
    else:
        chunk[0] = filled(rand.choice(SIZES), n)


def change_chunk(request, rand):
    if not request.chunks:
        return change_end(request, rand)
    at = rand.randrange(len(request.chunks))
    how = rand.randrange(5)
    if how == 0:
        request.chunks[at][1] = rand.choice(ENDS)
    elif how == 1:
        request.chunks[at][3] = rand.choice(ENDS)
    elif how == 2:
        del request.chunks[at]
    elif how == 3:
        request.chunks.insert(at, [b"0", b"\r\n", b"", rand.choice((b"", b"\r\n"))])
    else:
        request.chunks[at][2] += rand.choice(NASTY)
    if not request.chunks:
        request.chunks.append([b"", b"", b"", b""])


def change_trailer(request, rand):
    if not request.chunks:
        return change_field(request, rand)
    line = rand.choice(TRAILERS + ODD_FIELDS)
    request.trailers.insert(rand.randint(0, len(request.trailers)),
                            [line, rand.choice([b"\r\n"] * 4 + ENDS)])
    if rand.random() < 0.2:
        del request.trailers[-1]


def change_end(request, rand):
    how = rand.randrange(6)
    if how == 0:
        request.first_end = rand.choice(ENDS)
    elif how == 1:
        request.end = rand.choice(ENDS)
    elif request.lines:
        rand.choice(request.lines)[1] = rand.choice(ENDS)


def change_field(request, rand):
    request.lines.insert(rand.randint(0, len(request.lines)), [rand.choice(ODD_FIELDS), b"\r\n"])


def change_host(request, rand):
    hosts = [it for it in request.lines if it[0][:5].lower() == b"host:"]
    line = b"Host: " + rand.choice(ODD_HOSTS)
    if hosts and rand.random() < 0.3:
        request.lines.remove(hosts[0])
    elif hosts:
        hosts[0][0] = line
    else:
        request.add(line)


def change_first_line(request, rand):
    how = rand.randrange(4)
    if how == 0:
        request.method = rand.choice(ODD_METHODS)
    elif how == 1:
        request.target = rand.choice(ODD_TARGETS)
    elif how == 2:
        request.version = rand.choice(ODD_VERSIONS)
    else:
        request.version = b"HTTP/1.0"


def change_body(request, rand):
    """Longer or shorter than what is said of it."""
    if rand.random() < 0.5:
        request.body += rand.choice(NASTY + BODIES)
    else:
        request.body = request.body[:-1]


CHANGES = ([change_length] * 4 + [change_coding] * 4 + [change_both] * 2 + [change_double] * 2 +
           [change_size] * 5 + [change_chunk] * 4 + [change_trailer] * 2 + [change_end] * 2 +
           [change_field] * 3 + [change_host] + [change_first_line] * 2 + [change_body])

STRUCTURE = frozenset(b"\r\n:;, =")


def place(text, rand):
    """An index, as a rule beside a byte that separates."""
    for _ in range(4):
        at = rand.randrange(len(text) + 1)
        if at < len(text) and text[at] in STRUCTURE:
            return at + rand.choice((0, 0, 1))
    return at


def change_bytes(text, rand):
    at = place(text, rand)
    how = rand.randrange(5)
    if how < 2:
        return text[:at] + rand.choice(NASTY) + text[at:]
    if how == 2:
        return text[:at] + rand.choice(NASTY) + text[at + 1:]
    if how == 3:
        return text[:at] + text[at + rand.choice((1, 1, 2)):]
    to = place(text, rand)
    return text[:at] + text[min(at, to):to] + text[at:]


def stream(seed, number):
    rand = random.Random(seed << 40 | number)
    requests = [Request(rand) for _ in range(rand.choice((1, 1, 2, 2, 3)))]
    for _ in range(rand.choice((0, 0, 1, 1, 1, 2, 3))):
        rand.choice(CHANGES)(rand.choice(requests), rand)
    texts = [request.text() for request in requests]
    if rand.random() < 0.05:
        texts.insert(rand.randrange(len(texts) + 1),
                     rand.choice((b"\r\n", b"\n", b"\r", b"\r\n\r\n")))
    text = b"".join(texts)
    if rand.random() < 0.3:
        text = change_bytes(text, rand)
    if rand.random() < 0.05:
        text = text[:rand.randrange(len(text) + 1)]
    return text
