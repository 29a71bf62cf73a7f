"""A load generator of its own process: each request is a new TCP and TLS connection with a full handshake.

`newconn.py PORT PATH LENGTH SECONDS WORKERS`. A session is never offered again, so nothing is resumed: wrk would. Every
answer is checked. One JSON object comes out, with latencies in microseconds from connect to the last byte. Zero seconds
make one connection and tell what was agreed on.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import sys
import time
from array import array


def context() -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    return made


def exchange(made: ssl.SSLContext, port: int, path: str) -> tuple[bytes, str]:
    """The whole answer, and what was agreed on."""
    plain = socket.create_connection(("127.0.0.1", port), timeout=10)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with made.wrap_socket(plain, suppress_ragged_eofs=True) as secure:
        secure.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode())
        read = bytearray()
        while chunk := secure.recv(65536):
            read += chunk
        agreed = f"{secure.version()} {secure.cipher()[0]}" + (" resumed" if secure.session_reused else "")
        return bytes(read), agreed


def is_good(answer: bytes, length: int) -> bool:
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.startswith(b"HTTP/1.1 200") and body == b"x" * length


def work(port: int, path: str, length: int, end: float, out: int) -> None:
    made, taken, bad = context(), array("d"), 0
    while (began := time.perf_counter()) < end:
        try:
            answer, _ = exchange(made, port, path)
            bad += not is_good(answer, length)
        except OSError:
            bad += 1
        taken.append((time.perf_counter() - began) * 1e6)
    with os.fdopen(out, "w") as pipe:
        json.dump({"taken": list(taken), "bad": bad}, pipe)


def quantile(ordered: list[float], share: float) -> float | None:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else None


def main() -> None:
    port, path, length = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    seconds, workers = float(sys.argv[4]), int(sys.argv[5])
    if seconds == 0:
        made = context()
        answer, agreed = exchange(made, port, path)
        print(json.dumps({"agreed": agreed, "good": is_good(answer, length)}))
        return
    began = time.perf_counter()
    pipes = []
    for _ in range(workers):
        read, write = os.pipe()
        if os.fork() == 0:
            os.close(read)
            work(port, path, length, began + seconds, write)
            os._exit(0)
        os.close(write)
        pipes.append(read)
    parts = []
    for pipe in pipes:
        with os.fdopen(pipe) as text:
            parts.append(json.load(text))
        os.wait()
    taken = sorted(each for part in parts for each in part["taken"])
    print(json.dumps({
        "requests": len(taken), "seconds": time.perf_counter() - began, "p50": quantile(taken, 0.5),
        "p99": quantile(taken, 0.99), "p999": quantile(taken, 0.999), "bad": sum(part["bad"] for part in parts),
        "lost": 0,
    }))


if __name__ == "__main__":
    main()
