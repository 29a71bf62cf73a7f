"""A vendor that can be told how to behave: `vendor.py PORT CONTROL`.

On CONTROL: `GET /MODE` changes the behaviour and gives what was counted as JSON; `GET /` gives it alone. Modes: good,
usual (answers after 100 ms), refused (nobody listens), reset (each request), 500, hang (no answer at all), slow
(answers after 3 s), back (good answers after 6 s).
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import sys
import time

WAITS = {"usual": 0.1, "slow": 3.0, "back": 6.0}


class Vendor:
    def __init__(self, port: int) -> None:
        self.port = port
        self.mode = "good"
        self.server: asyncio.Server | None = None
        # When each request's head and each connection came, on this machine's monotonic clock.
        self.requests: list[tuple[float, str, str]] = []
        self.connects: list[tuple[float, str]] = []
        self.open: set[asyncio.StreamWriter] = set()

    async def behave(self, mode: str) -> None:
        self.mode = mode
        if mode == "refused":
            if self.server:
                self.server.close()
                self.server = None
            for writer in list(self.open):
                writer.transport.abort()
        elif self.server is None:
            self.server = await asyncio.start_server(self.serve, "127.0.0.1", self.port, backlog=1024)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open.add(writer)
        self.connects.append((time.monotonic(), self.mode))
        try:
            while await self.exchange(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open.discard(writer)
            writer.close()

    async def exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        mode = self.mode
        self.requests.append((time.monotonic(), mode, head.split(b" ", 1)[0].decode()))
        await reader.readexactly(length(head))
        if mode == "reset":
            told = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, told)
            writer.transport.abort()
            return False
        if mode == "hang":
            # Until the client gives up.
            await reader.read(1)
            return False
        await asyncio.sleep(WAITS.get(mode, 0))
        status = b"500 Internal Server Error" if mode == "500" else b"200 OK"
        writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 3\r\nX-Endpoint: vendor\r\n\r\nok\n")
        await writer.drain()
        return True


def length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.split(b":", 1)[1])
    return 0


async def main() -> None:
    vendor = Vendor(int(sys.argv[1]))
    await vendor.behave("good")

    async def control(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if mode := head.split(b" ")[1].decode().strip("/"):
            await vendor.behave(mode)
        told = json.dumps({"requests": vendor.requests, "connects": vendor.connects}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(told) + told)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(control, "127.0.0.1", int(sys.argv[2]))
    await server.serve_forever()


asyncio.run(main())
