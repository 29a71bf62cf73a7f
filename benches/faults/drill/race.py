"""Clients that are all due within milliseconds of one moment: a loop over plain sockets, since asyncio is too slow.

`due` seconds after a client's answer, give or take `spread`, its next request leaves. `lateness` says how well that was
kept; it is measured, not hoped for.
"""

from __future__ import annotations

import contextlib
import gc
import heapq
import os
import random
import select
import socket
import statistics
import time
from dataclasses import dataclass, field
from typing import Iterator

from .http1 import Head, request
from .tally import Outcome, Tally

PATIENCE = 15.0


@dataclass
class Client:
    socket: socket.socket
    sent: float = 0.0
    read: bytearray = field(default_factory=bytearray)
    waits: bool = False


class Race:
    def __init__(self, port: int, clients: int, method: str, due: float, spread: float, seed: int) -> None:
        self._port, self._due, self._spread = port, due, spread
        self._method = method
        self._wire = request(method, "/", b"x" * 64 if method == "POST" else b"")
        self._chance = random.Random(seed)
        self._poll = select.epoll()
        self._clients = [self._connected() for _ in range(clients)]
        self.lateness: list[float] = []

    def _connected(self) -> Client:
        made = socket.create_connection(("127.0.0.1", self._port), timeout=5)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.setblocking(False)
        return Client(made)

    def run(self, rounds: int) -> Tally:
        """The first round makes the connections and is not counted."""
        gc.disable()
        try:
            with first_in_line():
                return self._run(rounds)
        finally:
            gc.enable()

    def _run(self, rounds: int) -> Tally:
        numbers = {}
        for number, client in enumerate(self._clients):
            numbers[client.socket.fileno()] = number
            self._poll.register(client.socket, select.EPOLLIN)
        self._round([(0.0, number) for number in range(len(self._clients))], numbers)
        counted = Tally()
        for _ in range(rounds):
            due = [
                (done + self._due + self._chance.uniform(-self._spread, self._spread), number)
                for number, done in enumerate(self._done)
            ]
            counted.outcomes += self._round(due, numbers)
        for client in self._clients:
            client.socket.close()
        self._poll.close()
        return counted

    def _round(self, due: list[tuple[float, int]], numbers: dict[int, int]) -> list[Outcome]:
        heapq.heapify(due)
        self._done = [0.0] * len(self._clients)
        outcomes: list[Outcome] = []
        waiting = 0
        while due or waiting:
            now = time.monotonic()
            while due and due[0][0] <= now:
                moment, number = heapq.heappop(due)
                self._send(number, moment, outcomes)
                waiting += self._clients[number].waits
                now = time.monotonic()
            # Awake a little before the moment, and then at it.
            rest = due[0][0] - now - 0.002 if due else 0.1
            for fd, _ in self._poll.poll(max(0.0, min(rest, 0.1)), 4):
                if fd in numbers:
                    waiting -= self._receive(numbers[fd], outcomes, numbers)
            waiting -= self._given_up(outcomes, numbers) if not due else 0
        return outcomes

    def _send(self, number: int, moment: float, outcomes: list[Outcome]) -> None:
        client = self._clients[number]
        client.read.clear()
        client.sent = time.monotonic()
        if moment:
            self.lateness.append(client.sent - moment)
        try:
            client.socket.send(self._wire)
            client.waits = True
        except OSError:
            # What the proxy had closed; `_receive` is told of it and makes a new one.
            client.waits = True

    def _receive(self, number: int, outcomes: list[Outcome], numbers: dict[int, int]) -> int:
        """1 if the client's exchange came to its end."""
        client = self._clients[number]
        try:
            chunk = client.socket.recv(65536)
            ended = "closed" if not chunk else ""
        except BlockingIOError:
            return 0
        except OSError:
            chunk, ended = b"", "reset"
        client.read += chunk
        if ended:
            waited = client.waits
            self._over(number, "begun" if client.read else ended, "", "", outcomes)
            self._anew(number, numbers)
            return int(waited)
        end = client.read.find(b"\r\n\r\n")
        if end < 0 or not client.waits:
            return 0
        head = Head(bytes(client.read[:end]))
        body = bytes(client.read[end + 4 :])
        length = head.ends_at(body)
        if length is None or length < 0 or len(body) < length:
            return 0
        self._over(number, head.status, head.reason, head.endpoint, outcomes)
        if not head.keep:
            self._anew(number, numbers)
        return 1

    def _over(self, number: int, end: str, reason: str, endpoint: str, outcomes: list[Outcome]) -> None:
        client = self._clients[number]
        self._done[number] = time.monotonic()
        if client.waits:
            client.waits = False
            outcomes.append(Outcome(client.sent, self._done[number], "all", self._method, end, reason, endpoint))

    def _anew(self, number: int, numbers: dict[int, int]) -> None:
        old = self._clients[number]
        del numbers[old.socket.fileno()]
        self._poll.unregister(old.socket)
        old.socket.close()
        made = self._connected()
        self._clients[number] = made
        numbers[made.socket.fileno()] = number
        self._poll.register(made.socket, select.EPOLLIN)

    def _given_up(self, outcomes: list[Outcome], numbers: dict[int, int]) -> int:
        now = time.monotonic()
        late = [n for n, client in enumerate(self._clients) if client.waits and now - client.sent > PATIENCE]
        for number in late:
            self._over(number, "timeout", "", "", outcomes)
            self._anew(number, numbers)
        return len(late)


@contextlib.contextmanager
def first_in_line() -> Iterator[None]:
    """Before the others on a busy machine, where this is allowed: what is late by more than the spread says little."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, -15)
    try:
        yield
    finally:
        with contextlib.suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, before)


def closes_after(port: int) -> float:
    """How long after its answer the server really closes: the median of a few connections, asked directly."""
    wire = request("GET", "/")
    waits = []
    opened = [socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(16)]
    try:
        for each in opened:
            each.sendall(wire)
        answered = [_answered(each) for each in opened]
        for each, since in zip(opened, answered):
            while each.recv(4096):
                pass
            waits.append(time.monotonic() - since)
    finally:
        for each in opened:
            each.close()
    return statistics.median(waits)


def _answered(connection: socket.socket) -> float:
    read = b""
    while not read.endswith(b"ok\n"):
        chunk = connection.recv(4096)
        if not chunk:
            raise RuntimeError("the server closed a connection before it answered")
        read += chunk
    return time.monotonic()
