"""Clients of HTTP/2 (prior knowledge) that make unary gRPC calls, and say how each of them ended."""

from __future__ import annotations

import asyncio
import struct
import threading
import time
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions

from .http1 import Answer
from .load import Background
from .tally import Outcome, Tally

PATIENCE = 15.0


@dataclass
class Call:
    waiter: asyncio.Future[Answer]
    status: str = ""
    reason: str = ""
    grpc: str = ""
    body: bytearray = field(default_factory=bytearray)


class Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self._calls: dict[int, Call] = {}
        self._transport: asyncio.Transport | None = None
        self.usable = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._h2.initiate_connection()
        self._flush()
        self.usable = True

    def data_received(self, data: bytes) -> None:
        try:
            events = self._h2.receive_data(data)
        except h2.exceptions.ProtocolError:
            self._lost("protocol error")
            return
        for event in events:
            self._on(event)
        self._flush()

    def connection_lost(self, error: Exception | None) -> None:
        self._lost("reset" if error else "closed")

    def _on(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ConnectionTerminated):
            # The proxy's own GOAWAY: what is in flight comes to its end, the next call has another connection.
            self.usable = False
            return
        call = self._calls.get(getattr(event, "stream_id", None) or 0)
        if call is None:
            return
        if isinstance(event, (h2.events.ResponseReceived, h2.events.TrailersReceived)):
            for name, value in event.headers or ():
                match name:
                    case ":status":
                        call.status = value
                    case "grpc-status":
                        call.grpc = value
                    case "x-strop-reason":
                        call.reason = value
        elif isinstance(event, h2.events.DataReceived):
            call.body += event.data
            self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamReset):
            self._end(event.stream_id, Answer(f"stream reset {int(event.error_code)}"))
        elif isinstance(event, h2.events.StreamEnded):
            self._end(event.stream_id, answer(call))

    def _end(self, stream: int, answer: Answer) -> None:
        call = self._calls.pop(stream, None)
        if call is not None and not call.waiter.done():
            call.waiter.set_result(answer)

    def _lost(self, how: str) -> None:
        self.usable = False
        for stream in list(self._calls):
            self._end(stream, Answer(how))

    def _flush(self) -> None:
        if self._transport is not None and (wire := self._h2.data_to_send()):
            self._transport.write(wire)

    async def call(self, message: bytes) -> Answer:
        stream = self._h2.get_next_available_stream_id()
        call = Call(asyncio.get_running_loop().create_future())
        self._calls[stream] = call
        self._h2.send_headers(stream, [
            (":method", "POST"), (":scheme", "http"), (":authority", "app.test"), (":path", "/drill.Echo/Say"),
            ("content-type", "application/grpc"), ("te", "trailers"),
        ])
        self._h2.send_data(stream, struct.pack("!BI", 0, len(message)) + message, end_stream=True)
        self._flush()
        try:
            async with asyncio.timeout(PATIENCE):
                return await call.waiter
        except TimeoutError:
            return Answer("timeout")

    def close(self) -> None:
        self.usable = False
        if self._transport is not None:
            self._transport.abort()


def answer(call: Call) -> Answer:
    """Good is what has status 0 and gives back what was sent."""
    if call.status == "200" and call.grpc == "0":
        return Answer("200" if len(call.body) > 5 else "200 without a message", call.reason, "grpc")
    return Answer(f"{call.status} grpc-status {call.grpc or 'absent'}", call.reason)


class Calls:
    """`connections` of `streams` calls each, in a thread of its own, until `stop`."""

    def __init__(self, port: int, connections: int, streams: int, think: float) -> None:
        self._port, self._connections, self._streams, self._think = port, connections, streams, think
        self._stopping = threading.Event()
        self.tally = Tally()
        self._thread = Background("calls", self._all)

    def stop(self) -> Tally:
        self._stopping.set()
        self._thread.end()
        return self.tally

    def __enter__(self) -> "Calls":
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()

    async def _all(self) -> None:
        await asyncio.gather(*(self._one() for _ in range(self._connections)))

    async def _one(self) -> None:
        held: list[Connection] = []
        lock = asyncio.Lock()
        await asyncio.gather(*(self._stream(held, lock) for _ in range(self._streams)))
        for connection in held:
            connection.close()

    async def _stream(self, held: list[Connection], lock: asyncio.Lock) -> None:
        while not self._stopping.is_set():
            sent = time.monotonic()
            connection = await self._connected(held, lock)
            said = Answer("refused") if connection is None else await connection.call(b"x" * 64)
            done = time.monotonic()
            self.tally.outcomes.append(Outcome(sent, done, "all", "POST", said.end, said.reason, said.endpoint))
            await asyncio.sleep(self._think if said.end == "200" else max(self._think, 0.02))

    async def _connected(self, held: list[Connection], lock: asyncio.Lock) -> Connection | None:
        async with lock:
            if held and held[-1].usable:
                return held[-1]
            try:
                _, made = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", self._port)
            except OSError:
                return None
            held.append(made)
            return made
