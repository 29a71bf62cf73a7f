"""A name server for a namespace: `dns.py ADDRESS ZONE`, UDP port 53. ZONE is JSON, read anew with each question:
`{"app.test.": {"A": […], "AAAA": […]}}`. Answers are good for a second; what is not listed does not exist.
"""

from __future__ import annotations

import ipaddress
import json
import socket
import struct
import sys

TTL = 1
KINDS = {1: "A", 28: "AAAA"}
NO_SUCH_NAME = 3


def answer(question: bytes, zone: dict[str, dict[str, list[str]]]) -> bytes:
    number, flags = struct.unpack("!HH", question[:4])
    labels, at = [], 12
    while length := question[at]:
        labels.append(question[at + 1 : at + 1 + length].decode().lower())
        at += 1 + length
    at += 1
    (kind,) = struct.unpack("!H", question[at : at + 2])
    asked = question[12 : at + 4]
    entry = zone.get(".".join(labels) + ".")
    found = entry.get(KINDS.get(kind, ""), []) if entry else []
    code = 0 if entry is not None else NO_SUCH_NAME
    # An answer, authoritative; recursion as it was asked for, and to be had.
    head = struct.pack("!HHHHHH", number, 0x8480 | (flags & 0x0100) | code, 1, len(found), 0, 0)
    rows = b""
    for address in found:
        packed = ipaddress.ip_address(address).packed
        rows += struct.pack("!HHHIH", 0xC00C, kind, 1, TTL, len(packed)) + packed
    return head + asked + rows


def main() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((sys.argv[1], 53))
        while True:
            question, client = server.recvfrom(4096)
            with open(sys.argv[2], encoding="utf-8") as zone:
                server.sendto(answer(question, json.load(zone)), client)


main()
