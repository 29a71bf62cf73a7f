"""Clients in a thread of their own. A closed loop: each sends, waits for the end, thinks, sends again. An open one: requests are
due at times that do not depend on answers, and wait for nobody."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from dataclasses import dataclass, field
from typing import Awaitable, Callable

from .http1 import Answer, Connection, request
from .tally import Outcome, Tally

# Nothing runs away: a client that hangs up at once waits so long before it comes again.
AFTER_FAILURE = 0.02
MOST = 400_000


@dataclass(frozen=True)
class Ask:
    """What a client sends next. `who`: whose request it is, as the row counts them."""

    who: str = "all"
    method: str = "GET"
    path: str = "/"
    body: bytes = b""
    fields: tuple[tuple[str, str], ...] = ()
    # Instead of the plan's, after this request.
    think: float | None = None


@dataclass
class Plan:
    """`ask` is given the client's number and a source of chance of its own."""

    clients: int
    ask: Callable[[int, random.Random], Ask] = field(default=lambda _number, _chance: Ask())
    think: float = 0.02
    patience: float = 30.0
    seed: int = 1


class Background:
    """An event loop in a thread of its own; what went wrong there is raised where its end is awaited."""

    def __init__(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        self._work = work
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        async def whole() -> None:
            await self._work()

        try:
            asyncio.run(whole())
        except BaseException as error:
            self._error = error

    def end(self) -> None:
        self._thread.join()
        if self._error is not None:
            raise RuntimeError(f"a client went wrong: {self._error!r}") from self._error


class Load:
    """Started at once; `stop` lets what is in flight come to its end and gives what became of everything."""

    def __init__(self, port: int, plan: Plan, host: str = "127.0.0.1") -> None:
        self._to = (host, port)
        self._plan = plan
        self._stopping = threading.Event()
        self.tally = Tally()
        self._thread = Background("load", self._all)

    def stop(self) -> Tally:
        self._stopping.set()
        self._thread.end()
        return self.tally

    def __enter__(self) -> "Load":
        return self

    def __exit__(self, *_: object) -> None:
        # After `stop` nothing is left to do; without it something went wrong, and nobody waits for answers.
        self._stopping.set()

    async def _all(self) -> None:
        await asyncio.gather(*(self._client(number) for number in range(self._plan.clients)))

    async def _client(self, number: int) -> None:
        plan = self._plan
        chance = random.Random(f"{plan.seed}/{number}")
        await asyncio.sleep(chance.random() * plan.think)
        connection: Connection | None = None
        while not self._stopping.is_set() and self.tally.count < MOST:
            ask = plan.ask(number, chance)
            sent = time.monotonic()
            if connection is None or not connection.usable:
                connection = await self._connected()
            if connection is None:
                answer = Answer("refused")
            else:
                wire = request(ask.method, ask.path, ask.body, dict(ask.fields))
                answer = await connection.exchange(wire, plan.patience)
            outcome = Outcome(
                sent, time.monotonic(), ask.who, ask.method, answer.end, answer.reason, answer.endpoint
            )
            self.tally.outcomes.append(outcome)
            pause = (plan.think if ask.think is None else ask.think) * (0.5 + chance.random())
            await asyncio.sleep(pause if answer.end.isdigit() else max(pause, AFTER_FAILURE))
        if connection is not None:
            connection.close()

    async def _connected(self) -> Connection | None:
        try:
            _, made = await asyncio.get_running_loop().create_connection(Connection, *self._to)
        except OSError:
            return None
        return made


@dataclass
class Stream:
    """Requests of one kind, `rate` a second, with exponential gaps."""

    ask: Ask
    rate: float


class OpenLoad(Load):
    """`streams` at once; each request has a connection of its own while it lasts. What is due late is counted from when it was
    due."""

    def __init__(self, port: int, streams: list[Stream], patience: float = 30.0, seed: int = 1) -> None:
        self._streams = streams
        self._idle: list[Connection] = []
        super().__init__(port, Plan(0, patience=patience, seed=seed))

    async def _all(self) -> None:
        await asyncio.gather(*(self._stream(stream) for stream in self._streams))
        for connection in self._idle:
            connection.close()

    async def _stream(self, stream: Stream) -> None:
        chance = random.Random(f"{self._plan.seed}/{stream.ask.who}")
        under_way: set[asyncio.Task[None]] = set()
        due = time.monotonic()
        while not self._stopping.is_set() and self.tally.count < MOST:
            due += chance.expovariate(stream.rate)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            task = asyncio.create_task(self._one(stream.ask, due))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        await asyncio.gather(*under_way)

    async def _one(self, ask: Ask, due: float) -> None:
        connection = None
        while self._idle and (connection is None or not connection.usable):
            connection = self._idle.pop()
        if connection is None or not connection.usable:
            connection = await self._connected()
        if connection is None:
            answer = Answer("refused")
        else:
            answer = await connection.exchange(request(ask.method, ask.path, ask.body), self._plan.patience)
            if connection.usable:
                self._idle.append(connection)
        self.tally.outcomes.append(
            Outcome(due, time.monotonic(), ask.who, ask.method, answer.end, answer.reason, answer.endpoint)
        )
