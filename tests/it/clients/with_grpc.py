"""A gRPC client. Usage: with_grpc.py TARGET [CA]; with a CA it speaks TLS"""

import queue
import sys

import grpc

from told import pattern

options = [("grpc.max_receive_message_length", 1 << 24), ("grpc.enable_retries", 0)]
if len(sys.argv) > 2:
    with open(sys.argv[2], "rb") as file:
        channel = grpc.secure_channel(sys.argv[1], grpc.ssl_channel_credentials(file.read()), options)
else:
    channel = grpc.insecure_channel(sys.argv[1], options)


def method(kind, name):
    return getattr(channel, kind)(f"/strop.test.Echo/{name}")


def status(call):
    return call.code(), call.details()


unary = method("unary_unary", "Unary")

# One message; none; metadata both ways, as text and as bytes, with one key twice.
sent = [("my-one", "1"), ("my-twice", "a"), ("my-twice", "b"), ("my-raw-bin", bytes(range(256)))]
answer, call = unary.with_call(b"hello", metadata=sent, timeout=10)
assert answer == b"hello", answer
got = [(key, value) for key, value in call.initial_metadata() if key in dict(sent)]
assert sorted(got) == sorted(sent), call.initial_metadata()
got = [(key, value) for key, value in call.trailing_metadata() if key.endswith("-end-bin")]
wanted = [("my-one-end-bin", b"1"), ("my-twice-end-bin", b"a"), ("my-twice-end-bin", b"b")]
wanted.append(("my-raw-end-bin", bytes(range(256))))
assert sorted(got) == sorted(wanted), call.trailing_metadata()
assert unary(b"", timeout=10) == b""

# Messages larger than any window.
for size in (16_384, 1 << 20, 5 << 20):
    body = pattern(size)
    assert unary(body, timeout=10) == body, f"{size} bytes came back changed"
body = pattern(1 << 20) * 2
assert unary(body, compression=grpc.Compression.Gzip, timeout=10) == body

# Streams: down, up, both ways.
assert list(method("unary_stream", "Down")(b"1000", timeout=10)) == [b"%d" % number for number in range(1000)]
assert list(method("unary_stream", "Down")(b"0", timeout=10)) == []
messages = [pattern(size) for size in (0, 1, 100_000, 7)]
assert method("stream_unary", "Up")(iter(messages), timeout=10) == b"4 100008"
assert method("stream_unary", "Up")(iter([]), timeout=10) == b"0 0"
assert list(method("stream_stream", "Both")(iter(messages), timeout=10)) == messages

# A conversation: each word is sent only after the answer to the one before.
words = queue.Queue()
conversation = method("stream_stream", "Both")(iter(words.get, None), timeout=10)
for word in (b"hello", b"how are you", b"goodbye"):
    words.put(word)
    assert next(conversation) == word
words.put(None)
assert list(conversation) == [] and conversation.code() == grpc.StatusCode.OK

# A status without a message, with details, trailing metadata and characters that have to be quoted.
failed = method("unary_unary", "Fails").future(b"", timeout=10)
assert status(failed) == (grpc.StatusCode.NOT_FOUND, "nobody is called müller, 100%"), status(failed)
trailers = dict(failed.trailing_metadata())
assert trailers["x-why"] == "because" and trailers["x-detail-bin"] == bytes(range(256)), trailers

# A status after messages; a method that does not exist.
late = method("unary_stream", "FailsLate")(b"", timeout=10)
assert [next(late), next(late)] == [b"one", b"two"]
try:
    next(late)
    sys.exit("there was a third message")
except grpc.RpcError:
    pass
assert status(late) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "that was all"), status(late)
unknown = status(method("unary_unary", "Nothing").future(b"", timeout=10))
assert unknown[0] == grpc.StatusCode.UNIMPLEMENTED, unknown

# The server knows the deadline; when it has passed, the client says so and the server is told to stop.
remaining = float(method("unary_unary", "Deadline")(b"", timeout=7))
assert 5 < remaining < 7.5, remaining
assert method("unary_unary", "Deadline")(b"") == b"none"
has_begun = method("unary_unary", "HasBegun")
was_cancelled = method("unary_unary", "WasCancelled")
sleeps = method("unary_unary", "Sleeps")
overdue = status(sleeps.future(b"", timeout=0.5))
assert overdue[0] == grpc.StatusCode.DEADLINE_EXCEEDED, overdue
assert has_begun(b"", timeout=15) == b"yes"
assert was_cancelled(b"", timeout=15) == b"yes", "the server did not learn that the deadline had passed"

# The client has had enough before the answer begins.
waiting = sleeps.future(b"", timeout=15)
assert has_begun(b"", timeout=15) == b"yes"
waiting.cancel()
assert was_cancelled(b"", timeout=15) == b"yes", "the server did not learn that the client had left"

# The client has had enough in the middle of a stream.
endless = method("unary_stream", "Endless")(b"", timeout=10)
for _ in range(100):
    assert next(endless) == bytes(10_000)
endless.cancel()
assert was_cancelled(b"", timeout=15) == b"yes", "the server did not learn that the client had left"

# Many at once.
calls = [unary.future(b"%d" % number, timeout=10) for number in range(200)]
assert [call.result() for call in calls] == [b"%d" % number for number in range(200)]
