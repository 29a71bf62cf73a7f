"""Ports below those that the kernel gives to outgoing connections.

A backend that is away for a while must find its port free, and nobody who connects to it may meet himself.
"""

from __future__ import annotations

import random
import socket

_given: set[int] = set()


def low_ports(count: int) -> list[int]:
    """Free by now, and given once in a run."""
    found: list[int] = []
    chance = random.SystemRandom()
    for _ in range(10_000):
        port = chance.randrange(12_000, 30_000)
        if port in _given or not _free(port):
            continue
        _given.add(port)
        found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError("no free ports between 12000 and 30000")


def _free(port: int) -> bool:
    with socket.socket() as tried:
        try:
            tried.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
