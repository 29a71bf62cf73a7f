"""grpcio's server with one method that gives back what it got. PORT; AGE is max_connection_age in milliseconds."""

from __future__ import annotations

import os
import signal
import threading
from concurrent import futures

import grpc


class Echo(grpc.GenericRpcHandler):
    def service(self, details):
        if details.method != "/drill.Echo/Say":
            return None
        return grpc.unary_unary_rpc_method_handler(lambda request, _: request)


def main() -> None:
    options = [
        ("grpc.max_connection_age_ms", int(os.environ["AGE"])),
        ("grpc.max_connection_age_grace_ms", 5_000),
        ("grpc.so_reuseport", 0),
    ]
    server = grpc.server(futures.ThreadPoolExecutor(16), handlers=[Echo()], options=options)
    server.add_insecure_port(f"127.0.0.1:{os.environ['PORT']}")
    server.start()
    gone = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: gone.set())
    gone.wait()
    server.stop(5).wait()


main()
