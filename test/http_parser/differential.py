#!/usr/bin/env python3
"""Compares the parser with h11 and with node's, on streams of requests that streams.py makes.

usage: differential.py VERDICTS [--count N] [--seed N] [--from N] [--show N]

VERDICTS is the program of verdicts.c. Without --count 10,000 streams are compared. --show prints
one stream and what each of the three says about it. Status 1 when one of these is found, unless
justified.py says by which section of which RFC it is right:

- a request that another refuses, and we accept
- a request that all accept, of different bytes, fields, or persistence of the connection
- another number of requests in what all accept
- a request that both others accept, and we refuse

Status 77 when h11 or node are not installed.
"""

import argparse
import collections
import json
import shutil
import struct
import subprocess
import sys
from pathlib import Path

sys.dont_write_bytecode = True
import streams
from justified import LEFT_OUT, accepted_for, changed_for, closed_for, refused_for

try:
    import h11
except ImportError:
    h11 = None

BATCH = 5000
FAILURES_MAX = 20
NODE = shutil.which("node")
HERE = Path(__file__).resolve().parent

Request = collections.namedtuple(
    "Request", "start method target minor fields keeps_alive body trailers")
COMPARED = Request._fields[1:]


def request_of(row):
    start, method, target, minor, fields, keeps_alive, body, trailers = row
    return Request(start, bytes.fromhex(method), bytes.fromhex(target), min(minor, 1),
                   pairs(fields), keeps_alive, bytes.fromhex(body), pairs(trailers))


def pairs(texts):
    """Names in lower case: h11 tells no others."""
    texts = [bytes.fromhex(text) for text in texts]
    return [field(texts[i].lower(), texts[i + 1]) for i in range(0, len(texts), 2)]


def field(name, value):
    """Without white space, which node may leave behind a value, and as h11 writes it."""
    value = value.strip(b" \t")
    return (name, value.lower() if name == b"transfer-encoding" else value)


def trailers_of(fields):
    """Those that we do not leave out."""
    return [it for it in fields if not LEFT_OUT.fullmatch(it[0])]


class Verdict:
    """What a parser makes of a stream: its requests, whether the last one is incomplete, where it
    stopped, and the fault if it refused that."""

    def __init__(self, requests, is_open, end, fault):
        self.requests = requests
        self.is_open = is_open
        self.end = end
        self.fault = fault
        self.complete = len(requests) - is_open

    @classmethod
    def of_json(cls, line):
        row = json.loads(line)
        return cls([request_of(it) for it in row["requests"]], row["is_open"], row["end"],
                   row["fault"] if row["status"] else None)

    def without_left_out(self):
        """As we would have shown the trailers."""
        self.requests = [it._replace(trailers=trailers_of(it.trailers)) for it in self.requests]
        return self

    def __str__(self):
        end = self.end if self.fault is None else f"refused in {self.end}: {self.fault}"
        return "\n".join([f"  {it}" for it in self.requests] +
                         [f"  {'open, ' if self.is_open else ''}{end}"])


def run(command, texts):
    packed = b"".join(struct.pack("<I", len(text)) + text for text in texts)
    done = subprocess.run(command, input=packed, stdout=subprocess.PIPE, check=False)
    lines = done.stdout.splitlines()
    if done.returncode != 0 or len(lines) != len(texts):
        sys.exit(f"{command[0]}: status {done.returncode}, {len(lines)} of {len(texts)} verdicts")
    return [Verdict.of_json(line) for line in lines]


class H11:
    """One stream through h11. A connection of its own for every request takes the place of
    answering them."""

    def __init__(self):
        self.requests = []
        self.is_open = False
        self.end = "head"

    def take(self, connection, event):
        if isinstance(event, h11.Request):
            self.requests.append([None, bytes(event.method), bytes(event.target),
                                  min(int(event.http_version[-1:]), 1),
                                  self.fields_of(event), True, b"", []])
            self.is_open = True
        elif isinstance(event, h11.Data):
            self.requests[-1][6] += bytes(event.data)
        else:
            self.is_open = False
            self.requests[-1][5] = connection.their_state is not h11.MUST_CLOSE
            self.requests[-1][7] = self.fields_of(event)

    @staticmethod
    def fields_of(event):
        return [field(bytes(name), bytes(value)) for name, value in event.headers]

    def one(self, text):
        """Bytes behind the first request; None: nothing more comes of them."""
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
        connection.receive_data(text)
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                return None
            self.take(connection, event)
            if isinstance(event, h11.EndOfMessage):
                if connection.their_state is h11.MUST_CLOSE:
                    self.end = "closed"
                    return None
                return connection.trailing_data[0]

    def verdict(self, text):
        fault = None
        try:
            while text:
                text = self.one(text)
        except h11.RemoteProtocolError as error:
            fault = str(error)
        if self.is_open:
            # Until its end h11 does not say.
            self.requests[-1][5] = None
            self.end = "body"
        return Verdict([Request(*it) for it in self.requests], self.is_open, self.end, fault)


class Finding(Exception):
    """A difference that nothing justifies."""


class Judge:
    """Compares verdicts and counts what justified their differences."""

    def __init__(self, node_version):
        self.node_version = node_version
        self.counts = collections.Counter()

    def justify(self, reason, finding):
        if reason is None:
            raise Finding(finding)
        self.counts[reason] += 1

    def compare(self, name, text, ours, ended, other):
        """Whether the other accepts what we refuse."""
        for index in range(min(ours.complete, other.complete)):
            mine, its = ours.requests[index], other.requests[index]
            for part in COMPARED:
                if getattr(mine, part) != getattr(its, part):
                    self.justify(changed_for(name, part, text[mine.start:], mine),
                                 f"{name}: another {part} of request {index}")
                    return False
        if other.fault is not None and ours.complete >= other.complete:
            self.accepts_more(name, text, ours, ended, other)
            return False
        if ours.fault is not None:
            if ours.end == "head":
                return len(other.requests) > ours.complete
            return other.complete > ours.complete
        self.compare_ends(name, ours, other)
        return False

    def accepts_more(self, name, text, ours, ended, other):
        """The other refuses its next request."""
        if ours.complete == other.complete and ours.end == "head":
            # Where a line ends, more is decided.
            ours = ended
        if ours.complete == other.complete and ours.fault is not None:
            return
        index = other.complete
        mine = ours.requests[index] if index < len(ours.requests) else None
        its = other.requests[index] if index < len(other.requests) else None
        self.justify(mine and accepted_for(name, text[mine.start:], other.fault, mine, its),
                     f"{name} refuses request {index}: {other.fault}")

    def compare_ends(self, name, ours, other):
        if other.end == "switched":
            return
        if other.end == "closed" and (ours.end != "closed" or other.complete < ours.complete):
            self.justify(closed_for(name, other.requests[-1]), f"{name} alone closes")
            return
        if ours.complete != other.complete or ours.is_open != other.is_open:
            raise Finding(f"{name}: another number of requests")
        if ours.end == "closed" and other.end != "closed":
            raise Finding(f"{name}: another end of the connection")
        if ours.is_open:
            mine, its = ours.requests[-1], other.requests[-1]
            for part in ("method", "target", "minor", "fields", "body"):
                if getattr(mine, part) != getattr(its, part):
                    raise Finding(f"{name}: another beginning of a request: {part}")

    def judge(self, text, ours, ended, others):
        """Ended: our verdict when the head that may be incomplete comes to its end."""
        refusing = [self.compare(name, text, ours, ended, its) for name, its in others.items()]
        if all(refusing):
            self.justify(refused_for(ours.fault, self.node_version),
                         f"both accept what we refuse: {ours.fault}")


def verdicts_of(command, texts):
    return {"we": run(command, texts),
            "we, if the head ends here": run(command, [text + b"\r\n\r\n" for text in texts]),
            "h11": [H11().verdict(text).without_left_out() for text in texts],
            "node": [it.without_left_out() for it in run([NODE, str(HERE / "node_verdicts.js")],
                                                         texts)]}


def show(command, text):
    print(text)
    for name, verdicts in verdicts_of(command, [text]).items():
        print(f"{name}:", verdicts[0], sep="\n")


def compare_batch(judge, command, seed, numbers):
    """Numbers of streams with findings, and the findings."""
    texts = [streams.stream(seed, number) for number in numbers]
    verdicts = verdicts_of(command, texts).values()
    for number, text, ours, ended, *others in zip(numbers, texts, *verdicts):
        try:
            judge.judge(text, ours, ended, dict(zip(("h11", "node"), others)))
        except Finding as finding:
            yield number, finding


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("verdicts")
    parser.add_argument("--count", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--from", type=int, default=0, dest="first")
    parser.add_argument("--show", type=int)
    args = parser.parse_args()
    if h11 is None or NODE is None:
        print("skipped: no h11 for this python, or no node")
        return 77
    command = [args.verdicts]
    if args.show is not None:
        show(command, streams.stream(args.seed, args.show))
        return 0
    version = subprocess.run([NODE, "-p", "parseInt(process.versions.node)"],
                             stdout=subprocess.PIPE, check=True)
    judge = Judge(int(version.stdout))
    failures = 0
    end = args.first + args.count
    for first in range(args.first, end, BATCH):
        for number, finding in compare_batch(judge, command, args.seed,
                                             range(first, min(end, first + BATCH))):
            print(f"--seed {args.seed} --show {number}: {finding}")
            failures += 1
        if failures >= FAILURES_MAX:
            break
    for reason, count in sorted(judge.counts.items()):
        print(f"{count:8} {reason}")
    print(f"differential: {args.count} streams of seed {args.seed}, {failures} findings")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
