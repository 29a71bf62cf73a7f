"""Many routes and upstreams, written as each peer writes them. All lead to the one backend."""

from __future__ import annotations

from typing import Callable

ROUTES, UPSTREAMS = 500, 60


def values(mode: str, backend: int) -> dict[str, str]:
    """What templates have in place of @STROP_ROUTES@ and so on; nothing, where there is one route."""
    many = mode == "routes"
    return {name: (written(backend) if many else "") for name, written in WRITTEN.items()}


def _each(count: int, text: Callable[[int], str]) -> str:
    return "\n".join(text(number) for number in range(count))


def _strop(backend: int) -> str:
    upstream = """[upstreams.u{0}]
endpoints = ["127.0.0.1:{1}"]
[upstreams.u{0}.pool]
idle_per_worker = 512"""
    route = """[[routes]]
name = "r{0}"
prefix = "/r{0}"
upstream = "u{1}\""""
    return "\n".join([
        _each(UPSTREAMS, lambda n: upstream.format(n, backend)),
        _each(ROUTES, lambda n: route.format(n, n % UPSTREAMS)),
    ])


def _nginx_upstreams(backend: int) -> str:
    upstream = """    upstream u{0} {{
        server 127.0.0.1:{1} max_fails=5 fail_timeout=30s;
        keepalive 512;
        keepalive_requests 1000000000;
        keepalive_timeout 50s;
    }}"""
    return _each(UPSTREAMS, lambda n: upstream.format(n, backend))


def _nginx_routes(_: int) -> str:
    return _each(ROUTES, lambda n: f"        location /r{n}/ {{ proxy_pass http://u{n % UPSTREAMS}; }}")


def _envoy_clusters(backend: int) -> str:
    cluster = """  - name: u{0}
    type: STATIC
    connect_timeout: 1s
    load_assignment:
      cluster_name: u{0}
      endpoints:
      - lb_endpoints:
        - endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {1} }} }} }}
    circuit_breakers:
      thresholds:
      - {{ priority: DEFAULT, max_connections: 20000, max_pending_requests: 20000, max_requests: 20000, max_retries: 100 }}
    outlier_detection: {{ consecutive_5xx: 5, interval: 10s, base_ejection_time: 30s, max_ejection_percent: 100 }}"""
    return _each(UPSTREAMS, lambda n: cluster.format(n, backend))


def _envoy_routes(_: int) -> str:
    # `stat_prefix` gives each route statistics of its own, as Strop has them.
    route = """              - match: {{ prefix: "/r{0}/" }}
                stat_prefix: r{0}
                route: {{ cluster: u{1}, timeout: 60s }}"""
    return _each(ROUTES, lambda n: route.format(n, n % UPSTREAMS))


WRITTEN: dict[str, Callable[[int], str]] = {
    "STROP_ROUTES": _strop,
    "NGINX_UPSTREAMS": _nginx_upstreams,
    "NGINX_ROUTES": _nginx_routes,
    "ENVOY_CLUSTERS": _envoy_clusters,
    "ENVOY_ROUTES": _envoy_routes,
}
