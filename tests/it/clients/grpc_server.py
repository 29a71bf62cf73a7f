"""A gRPC server on a port of the loopback that the kernel picks: the first line says which.

Messages are bytes, so no code is generated. The service is strop.test.Echo.
"""

import threading
from concurrent import futures

import grpc

begun = threading.Semaphore(0)
cancelled = threading.Semaphore(0)


def unary(request, context):
    """Echoes the message, and the metadata that begins with my-: as initial and as trailing metadata."""
    sent = [(key, value) for key, value in context.invocation_metadata() if key.startswith("my-")]
    context.send_initial_metadata(sent)
    context.set_trailing_metadata([(f"{key.removesuffix('-bin')}-end-bin", as_bytes(value)) for key, value in sent])
    return request


def as_bytes(value):
    return value if isinstance(value, bytes) else value.encode()


def down(request, context):
    """As many messages as the request says."""
    for number in range(int(request)):
        yield b"%d" % number


def up(requests, context):
    """The number of messages, and of bytes."""
    sizes = [len(request) for request in requests]
    return b"%d %d" % (len(sizes), sum(sizes))


def both(requests, context):
    """Each message as it comes."""
    yield from requests


def fails(request, context):
    """No message at all: a status alone, in the first and only head."""
    context.set_trailing_metadata([("x-why", "because"), ("x-detail-bin", bytes(range(256)))])
    context.abort(grpc.StatusCode.NOT_FOUND, "nobody is called müller, 100%")


def fails_late(request, context):
    """Some messages, then a status."""
    yield b"one"
    yield b"two"
    context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "that was all")


def sleeps(request, context):
    """Never answers; notices that the client has left."""
    left = threading.Event()
    context.add_callback(left.set)
    begun.release()
    if left.wait(15):
        cancelled.release()
    return b"late"


def has_begun(request, context):
    """Answers once `sleeps` has been called."""
    return b"yes" if begun.acquire(timeout=10) else b"no"


def was_cancelled(request, context):
    """Answers once a client has left `sleeps` or `endless`."""
    return b"yes" if cancelled.acquire(timeout=10) else b"no"


def endless(request, context):
    """Messages until the client has had enough."""
    context.add_callback(cancelled.release)
    while context.is_active():
        yield bytes(10_000)


def deadline(request, context):
    """The seconds that are left."""
    remaining = context.time_remaining()
    return b"none" if remaining is None or remaining > 1e6 else b"%.3f" % remaining


handlers = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "Down": grpc.unary_stream_rpc_method_handler(down),
    "Up": grpc.stream_unary_rpc_method_handler(up),
    "Both": grpc.stream_stream_rpc_method_handler(both),
    "Fails": grpc.unary_unary_rpc_method_handler(fails),
    "FailsLate": grpc.unary_stream_rpc_method_handler(fails_late),
    "Sleeps": grpc.unary_unary_rpc_method_handler(sleeps),
    "HasBegun": grpc.unary_unary_rpc_method_handler(has_begun),
    "WasCancelled": grpc.unary_unary_rpc_method_handler(was_cancelled),
    "Endless": grpc.unary_stream_rpc_method_handler(endless),
    "Deadline": grpc.unary_unary_rpc_method_handler(deadline),
}
server = grpc.server(futures.ThreadPoolExecutor(16), options=[("grpc.max_receive_message_length", 1 << 24)])
server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("strop.test.Echo", handlers)])
port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(port, flush=True)
server.wait_for_termination()
