"""Before a peer is measured: does it answer what the backend said? A fast wrong answer is worth nothing."""

from __future__ import annotations

import http.client

from .load import Generators
from .peers import Target
from .scenarios import Scenario


class Wrong(Exception):
    """A peer's answer is not the backend's."""


def answers(scenario: Scenario, target: Target, generators: Generators) -> str:
    """Checks status and body; tells what was agreed on, where there was something to agree on."""
    if scenario.mode in ("h2c", "grpc"):
        return _h2(scenario, target, generators)
    if scenario.mode == "tls":
        return _tls(scenario, target, generators)
    return _plain(scenario, target)


def _plain(scenario: Scenario, target: Target) -> str:
    path, length = scenario.body
    connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=10)
    method, sent = ("POST", b"x" * scenario.post) if scenario.post else ("GET", None)
    for _ in range(3):
        connection.request(method, path, body=sent)
        response = connection.getresponse()
        body = response.read()
        told = response.getheader("Content-Length")
        if (response.status, body, told) != (200, b"x" * length, str(length)):
            raise Wrong(
                f"{target.name}, {method} {path}: {response.status}, {len(body)} bytes, Content-Length {told}; "
                f"expected 200 and {length} bytes"
            )
        if response.will_close:
            raise Wrong(f"{target.name}, {method} {path}: closes the connection")
    connection.close()
    return "HTTP/1.1"


def _tls(scenario: Scenario, target: Target, generators: Generators) -> str:
    told = generators.agreed(scenario, target)
    if not told["good"] or told["agreed"] != "TLSv1.3 TLS_AES_128_GCM_SHA256":
        raise Wrong(f"{target.name}, {scenario.name}: {told}")
    return str(told["agreed"])


def _h2(scenario: Scenario, target: Target, generators: Generators) -> str:
    requests = 20
    counts = generators.h2_once(scenario, target, requests)
    wanted = (requests, requests * scenario.body[1])
    if (counts.get("2xx"), counts["data"]) != wanted:
        raise Wrong(f"{target.name}, {scenario.name}: {counts}; expected {wanted[0]} answers and {wanted[1]} bytes")
    return "HTTP/2"
