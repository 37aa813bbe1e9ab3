#!/usr/bin/env python3
"""Starts a server and sends it every case of cases.py, in pieces, and judges its answers.

usage: run.py [--split whole|bytes|every]... [--jobs N] [-v] PROGRAM [ARGUMENT...]

PROGRAM prints "listening on HOST:PORT ..." and answers "/" with 200.
whole: in one piece; bytes: one byte at a time; every: cut once at every position, at 64 positions
in those that are long. "Answered", written 200 in a case, means that the request has reached the
application: 2xx, 404 or 405. After the last piece the client closes its side, so that the end comes
when all is answered; whether the server wanted to close is told by the last answer.
Status 0: every case holds.
"""
import argparse
import os
import re
import runpy
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

ANSWERED = {"200", "204", "404", "405"}
DEADLINE_S = 20


def expectations(text):
    """Of a case's verdict: a list of (statuses allowed, one set for each answer; closes or None)."""
    text = text.replace("(413 ok)", "or 413 close").replace("(or ignore)", "or 200")
    found = []
    for part in re.split(r"\bor\b", text):
        part = part.split("(")[0].strip()
        if re.match(r"handler|h2c", part):
            part = "200"
        closes = True if "close" in part else False if "open" in part else None
        part = part.replace("close", "").replace("open", "").replace(" then ", ", ")
        answers = []
        for item in part.split(","):
            match = re.match(r"\s*(\d{3}(?:/\d{3})*)(?:\s+x(\d))?", item)
            if match:
                codes = set(match.group(1).split("/"))
                answers += [codes | ANSWERED if "200" in codes else codes] * int(match.group(2) or 1)
        if answers:
            found.append((answers, closes))
    return found


def pieces(raw, split):
    """All the ways of cutting that are asked for."""
    if split == "whole":
        yield [raw]
    elif split == "bytes":
        if len(raw) <= 2048:
            yield [raw[i:i + 1] for i in range(len(raw))]
        else:
            yield [raw[:512]] + [raw[i:i + 1] for i in range(512, 600)] + [raw[600:]]
    else:
        step = max(1, len(raw) // 64) if len(raw) > 256 else 1
        for at in range(1, len(raw), step):
            yield [raw[:at], raw[at:]]


def talk(address, cut):
    """Everything that comes back."""
    back = b""
    with socket.create_connection(address, DEADLINE_S) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for piece in cut:
                client.sendall(piece)
            client.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it has answered already
        try:
            while piece := client.recv(65536):
                back += piece
        except ConnectionError:
            pass
    return back


def answers(back, to_head):
    """Statuses, walked by framing so that no body passes for an answer; whether the last closes."""
    statuses, closes = [], None
    while back:
        match = re.match(rb"HTTP/1\.1 (\d{3}) [^\r\n]*\r\n", back)
        end = back.find(b"\r\n\r\n")
        if not match or end < 0:
            return statuses + ["garbage"], closes
        status, head, back = match.group(1).decode(), back[:end].lower(), back[end + 4:]
        if status.startswith("1"):
            continue
        is_bare = status in ("204", "304") or (to_head and not statuses)
        statuses.append(status)
        closes = b"\r\nconnection: close" in head
        length = re.search(rb"\r\ncontent-length: (\d+)", head)
        if not is_bare:
            if not length:
                return statuses + ["no length"], closes
            back = back[int(length.group(1)):]
    return statuses, closes


def judge(case, address, split):
    """Exchanges made, and what went wrong first."""
    name, group, raw, verdict = case
    wanted = expectations(verdict)
    if group == "framing":  # an unknown coding may be 501 as well
        wanted = [([codes | {"501"} if "400" in codes else codes for codes in statuses], closes)
                  for statuses, closes in wanted]
    count = 0
    for cut in pieces(raw, split):
        count += 1
        try:
            statuses, closes = answers(talk(address, cut), raw.startswith(b"HEAD"))
        except OSError as error:
            statuses, closes = [str(error)], None
        holds = any(len(statuses) == len(want) and all(s in w for s, w in zip(statuses, want)) and
                    closing in (None, closes) for want, closing in wanted)
        if not holds:
            return count, f"{name}: wanted {verdict!r}, got {','.join(statuses) or 'nothing'} " \
                          f"{'close' if closes else 'open'}, {split}, cut at {len(cut[0])}"
    return count, None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--split", action="append", choices=["whole", "bytes", "every"])
    parser.add_argument("--jobs", type=int, default=16)
    parser.add_argument("-v", action="store_true", help="name every case")
    parser.add_argument("program")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    folder = os.path.dirname(os.path.abspath(__file__))
    cases = runpy.run_path(os.path.join(folder, "cases.py"))["C"]
    server = subprocess.Popen([options.program, *options.arguments], stdout=subprocess.PIPE, text=True)
    bad = 0
    try:
        match = re.match(r"listening on ([^ ]+):(\d+) ", server.stdout.readline())
        if not match:
            sys.exit("run.py: the program does not say where it listens")
        address = (match.group(1), int(match.group(2)))
        for split in options.split or ["whole", "bytes"]:
            with ThreadPoolExecutor(options.jobs) as pool:
                results = list(pool.map(lambda case: judge(case, address, split), cases))
            for case, (_, fault) in zip(cases, results):
                if fault or options.v:
                    print(fault or case[0])
                bad += fault is not None
            print(f"{split}: {len(cases)} cases, {sum(n for n, _ in results)} exchanges", flush=True)
    finally:
        server.send_signal(signal.SIGTERM)
        status = server.wait(DEADLINE_S)
    if bad or status:
        sys.exit(f"run.py: {bad} cases failed, the server's status was {status}")


main()
