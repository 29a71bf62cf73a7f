"""A client of HTTP/1.1 that says exactly how each exchange ended."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    end: str
    reason: str = ""
    endpoint: str = ""
    keep: bool = False


class Head:
    """The head of an answer. `reason` is Strop's word, Envoy's flags, or nothing."""

    def __init__(self, text: bytes) -> None:
        first, *lines = text.decode("latin-1").split("\r\n")
        self.status = first.split(" ", 2)[1]
        fields = {}
        for line in lines:
            name, _, value = line.partition(":")
            fields[name.lower()] = value.strip()
        self.fields = fields
        self.keep = fields.get("connection", "").lower() != "close" and first.startswith("HTTP/1.1")
        self.reason = fields.get("x-strop-reason", "")
        self.endpoint = fields.get("x-endpoint", "")

    def ends_at(self, body: bytes) -> int | None:
        """How long the body is; `None` until that is known. -1: as long as the connection."""
        if self.status in ("204", "304"):
            return 0
        if "content-length" in self.fields:
            return int(self.fields["content-length"])
        if self.fields.get("transfer-encoding", "").lower() == "chunked":
            at = body.find(b"0\r\n\r\n")
            return at + 5 if at >= 0 else None
        return -1


class Connection(asyncio.Protocol):
    """One connection with one exchange at a time."""

    def __init__(self) -> None:
        self._read = bytearray()
        self._head: Head | None = None
        self._waiter: asyncio.Future[Answer] | None = None
        self._transport: asyncio.Transport | None = None
        self.usable = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.usable = True

    def data_received(self, data: bytes) -> None:
        self._read += data
        while self._head is None:
            end = self._read.find(b"\r\n\r\n")
            if end < 0:
                return
            head = Head(bytes(self._read[:end]))
            del self._read[: end + 4]
            # An interim answer is not the answer.
            if not head.status.startswith("1"):
                self._head = head
        length = self._head.ends_at(bytes(self._read))
        if length is not None and 0 <= length <= len(self._read):
            self._finish(Answer(self._head.status, self._head.reason, self._head.endpoint, self._head.keep))

    def connection_lost(self, error: Exception | None) -> None:
        self.usable = False
        head = self._head
        if head is not None and head.ends_at(bytes(self._read)) == -1 and error is None:
            self._finish(Answer(head.status, head.reason, head.endpoint))
        elif head is not None or self._read:
            self._finish(Answer("begun"))
        else:
            self._finish(Answer("reset" if error else "closed"))

    def _finish(self, answer: Answer) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(answer)

    async def exchange(self, request: bytes, patience: float) -> Answer:
        assert self._transport is not None
        self._read.clear()
        self._head = None
        self._waiter = asyncio.get_running_loop().create_future()
        if not self.usable:
            return Answer("closed")
        self._transport.write(request)
        try:
            async with asyncio.timeout(patience):
                answer = await self._waiter
        except TimeoutError:
            begun = self._head is not None
            answer = Answer("begun" if begun else "timeout")
        if not answer.keep:
            self.close()
        return answer

    def close(self) -> None:
        self.usable = False
        if self._transport is not None:
            self._transport.abort()


def request(method: str, path: str, body: bytes = b"", fields: dict[str, str] | None = None) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: app.test", "User-Agent: drill"]
    lines += [f"{name}: {value}" for name, value in (fields or {}).items()]
    if method in ("POST", "PUT", "PATCH"):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
