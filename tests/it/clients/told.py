"""What the scripts beside this one have in common."""

import hashlib

GZIPPED = b"as it came\n"
LARGE = 8 << 20


def pattern(n):
    """The bytes of all tests."""
    period = bytes((at * 31 + at // 251) & 255 for at in range(251 * 256))
    return (period * (n // len(period) + 1))[:n]


def show(what, status, fields, body):
    """Prints an answer as the client read it. The test compares it with what it reads without the proxy."""
    print(f"== {what}: {status}")
    for name, value in fields:
        print(f"{text(name)}: {text(value)}")
    print(f"{len(body)} bytes, {hashlib.sha256(body).hexdigest()}")


def text(value):
    return value.decode("latin-1") if isinstance(value, bytes) else value


def parts(body, size=7_001):
    """An upload whose length nobody tells."""
    for at in range(0, len(body), size):
        yield body[at : at + size]
