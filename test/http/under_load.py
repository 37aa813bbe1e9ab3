#!/usr/bin/env python3
"""What the example does to its clients while many of them are at it.

usage: under_load.py panics|gone|end PROGRAM [ARGUMENT...]

panics  2,000 panics of the handler among other requests: each is a 500, everything else a 200.
gone    clients that disconnect while their request is in work: seen, and counted as cancelled.
end     SIGTERM: requests that the server has begun are answered, idle connections close at once,
        nothing is answered by halves, the status is 0. Repeated.
PROGRAM prints "listening on HOST:PORT ...". Status 0: so it is.
"""
import re
import signal
import socket
import subprocess
import sys
import threading
import time

DEADLINE_S = 20
PANICS = 2000
ENDS = 3


class Server:
    def __init__(self, command):
        self.process = subprocess.Popen(command + ["--listen", "127.0.0.1:0"], text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        line = self.process.stdout.readline()
        match = re.match(r"listening on ([\d.]+):(\d+) ", line)
        if match is None:
            sys.exit(f"not a listening line: {line!r}")
        self.address = (match.group(1), int(match.group(2)))
        # Panics write to it.
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def dial(self):
        connection = socket.create_connection(self.address, timeout=DEADLINE_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def metric(self, name):
        connection = self.dial()
        connection.sendall(request("/metrics", "Connection: close\r\n"))
        text = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
        connection.close()
        return int(re.search(rf"^nhttp_{name} (\d+)$", text, re.M).group(1))

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=DEADLINE_S)


def request(path, fields=""):
    return f"GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n".encode()


def answer(connection):
    """The status, and whether the connection goes on; (0, False): it ended before the first byte."""
    head = b""
    while b"\r\n\r\n" not in head:
        try:
            piece = connection.recv(65536)
        except ConnectionResetError:
            piece = b""
        if not piece:
            if head:
                raise RuntimeError(f"half a head: {head!r}")
            return 0, False
        head += piece
    head, _, body = head.partition(b"\r\n\r\n")
    length = int(re.search(rb"\r\nContent-Length: (\d+)", head).group(1))
    while len(body) < length:
        piece = connection.recv(65536)
        if not piece:
            raise RuntimeError("half a body")
        body += piece
    if len(body) > length:
        raise RuntimeError(f"more than an answer: {body!r}")
    return int(head.split()[1]), b"\r\nConnection: close" not in head


class Clients:
    """Threads that ask for a path again and again, on connections that are kept."""

    def __init__(self, server, count, path):
        self.server, self.path = server, path
        self.is_over = False
        self.answered = 0
        self.faults = []
        self.threads = [threading.Thread(target=self.run) for _ in range(count)]
        for thread in self.threads:
            thread.start()

    def ask_until_it_ends(self):
        connection = self.server.dial()
        goes_on = True
        while goes_on and not self.is_over:
            connection.sendall(request(self.path))
            status, goes_on = answer(connection)
            if status not in (0, 200):
                self.faults.append(f"status {status}")
            # Between two requests a connection may end: a client asks again.
            self.answered += status == 200
        connection.close()

    def run(self):
        while not self.is_over:
            try:
                self.ask_until_it_ends()
            except (ConnectionRefusedError, ConnectionResetError, BrokenPipeError):
                if self.server.process.poll() is None and not self.is_over:
                    time.sleep(0.001)
            except Exception as error:
                self.faults.append(repr(error))
                return

    def finish(self):
        self.is_over = True
        for thread in self.threads:
            thread.join()
        return self.faults


def panics(command):
    server = Server(command)
    clients = Clients(server, 3, "/")
    connection = server.dial()
    faults = []
    for at in range(PANICS):
        connection.sendall(request("/panic"))
        status, goes_on = answer(connection)
        if status != 500 or not goes_on:
            faults.append(f"panic {at}: status {status}, goes on: {goes_on}")
            break
    connection.close()
    faults += clients.finish()
    if clients.answered == 0:
        faults.append("nobody else was answered")
    if server.metric("panics_total") != PANICS:
        faults.append("the count of panics is another")
    return faults + end_of(server)


def end_of(server):
    status = server.stop()
    return [] if status == 0 else [f"status {status} at the end"]


def gone(command):
    server = Server(command)
    clients = Clients(server, 2, "/")
    faults = []
    for at in range(10):
        connection = server.dial()
        connection.sendall(request("/sleep?ms=3000"))
        while server.metric("requests_total") == 0:
            pass
        time.sleep(0.02)
        if at % 2 == 0:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        since = time.monotonic()
        connection.close()
        while server.metric("cancelled_total") <= at and time.monotonic() - since < DEADLINE_S:
            pass
        took_ms = (time.monotonic() - since) * 1000
        # Ten times what is promised.
        if took_ms > 1000:
            faults.append(f"disconnect {at} was seen after {took_ms:.0f} ms")
            break
    faults += clients.finish()
    return faults + end_of(server)


def end_once(command):
    server = Server(command)
    clients = Clients(server, 4, "/")
    idle = [server.dial() for _ in range(50)]
    for connection in idle[25:]:
        connection.sendall(request("/"))
        assert answer(connection) == (200, True)
    begun = [server.dial() for _ in range(8)]
    for connection in begun:
        connection.sendall(request("/sleep?ms=1000"))
    time.sleep(0.1)
    since = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    faults = []
    for connection in idle:
        if connection.recv(1) != b"":
            faults.append("an idle connection was told something")
    idle_ms = (time.monotonic() - since) * 1000
    # They are looked at between other threads of this slow language.
    if idle_ms > 900:
        faults.append(f"idle connections closed after {idle_ms:.0f} ms")
    for connection in begun:
        status, goes_on = answer(connection)
        if status != 200 or goes_on:
            faults.append(f"a request in work got {status}, goes on: {goes_on}")
    status = server.process.wait(timeout=DEADLINE_S)
    took_ms = (time.monotonic() - since) * 1000
    if status != 0:
        faults.append(f"status {status}")
    if took_ms > 4500:
        faults.append(f"ended after {took_ms:.0f} ms")
    faults += clients.finish()
    if clients.answered == 0:
        faults.append("nobody was answered")
    return faults


def end(command):
    faults = []
    for _ in range(ENDS):
        faults += end_once(command)
    return faults


def main():
    kinds = {"panics": panics, "gone": gone, "end": end}
    if len(sys.argv) < 3 or sys.argv[1] not in kinds:
        sys.exit(__doc__)
    faults = kinds[sys.argv[1]](sys.argv[2:])
    for fault in faults[:10]:
        print(f"{sys.argv[1]}: {fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
