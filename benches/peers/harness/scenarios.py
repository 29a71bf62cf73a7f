"""What is measured. Each scenario is one kind of load on one kind of listener."""

from __future__ import annotations

from dataclasses import dataclass

from . import routes

SMALL, MEDIUM, LARGE = ("/small", 128), ("/64k", 64 << 10), ("/1m", 1 << 20)
# A gRPC message of 64 bytes with its prefix of 5.
UNARY = ("/bench.Echo/Unary", 69)


@dataclass(frozen=True)
class Scenario:
    """`load` names the generator; what it does not need stays at its default."""

    name: str
    title: str
    load: str = "wrk"
    mode: str = "h1"
    body: tuple[str, int] = SMALL
    connections: int = 64
    streams: int = 1
    post: int = 0
    closes: bool = False
    # Of what the slowest peer carries, where the rate is fixed.
    share: float = 0
    # Only these of the peers, where it is not for all.
    peers: tuple[str, ...] = ()

    @property
    def has_direct(self) -> bool:
        """The backend speaks plain HTTP/1.1, so there is nothing to compare with elsewhere."""
        return self.mode == "h1" and self.load != "memory"


ALL = [
    Scenario("small", "GET 128 B, 64 connections kept alive"),
    Scenario("c1", "GET 128 B, one connection kept alive", connections=1),
    Scenario("c256", "GET 128 B, 256 connections kept alive", connections=256),
    Scenario("64k", "GET 64 KiB, 64 connections kept alive", body=MEDIUM),
    Scenario("1m", "GET 1 MiB, 16 connections kept alive", body=LARGE, connections=16),
    Scenario("post", "POST 16 KiB, 64 connections kept alive", post=16 << 10),
    Scenario("tls", "GET 128 B over TLS 1.3, 64 connections kept alive", mode="tls"),
    Scenario("tls-new", "a new TLS 1.3 connection, full handshake, for each GET 128 B; 8 at once", "newconn", "tls",
             connections=8),
    Scenario("tls-resumed", "a new TLS 1.3 connection, session resumed, for each GET 128 B; 8 at once", mode="tls",
             connections=8, closes=True),
    Scenario("h2", "GET 128 B over HTTP/2 (h2c), 16 connections of 8 streams", "h2load", "h2c", connections=16,
             streams=8),
    Scenario("h2-64k", "GET 64 KiB over HTTP/2 (h2c), 16 connections of 8 streams", "h2load", "h2c", MEDIUM, 16, 8),
    Scenario("grpc", "gRPC, unary calls of 64 bytes both ways, HTTP/2 on both sides, 16 connections of 8 streams", "h2load",
             "grpc", UNARY, 16, 8),
    Scenario("fixed-10", "GET 128 B at a tenth of the slowest peer's capacity, 64 connections; latency from when it was due", "paced",
             share=0.1),
    Scenario("fixed-50", "GET 128 B at half of the slowest peer's capacity, 64 connections; latency from when it was due", "paced",
             share=0.5),
    Scenario("fixed-80", "GET 128 B at eight tenths of the slowest peer's capacity, 64 connections; latency from when it was due",
             "paced", share=0.8),
    Scenario("routes", f"GET 128 B, each request to the next of {routes.ROUTES} routes, {routes.UPSTREAMS} upstreams behind them",
             mode="routes", peers=("nginx", "envoy", "strop")),
    Scenario("idle", "memory: idle after start, and with 5,000 idle connections", "memory", connections=5_000),
    Scenario("idle-tls", "memory: idle after start, and with 5,000 idle connections over TLS 1.3", "memory", "tls", connections=5_000),
    Scenario("idle-15k", "memory: idle after start, and with 15,000 idle connections", "memory", connections=15_000,
             peers=("nginx", "envoy", "strop")),
]

BY_NAME = {scenario.name: scenario for scenario in ALL}
