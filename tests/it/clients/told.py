"""What the scripts beside this one have in common."""

import hashlib


def pattern(n):
    """The bytes of all tests."""
    return bytes((at * 31 + at // 251) & 255 for at in range(n))


def show(what, status, fields, body):
    """Prints an answer as the client read it; the test compares it with what it reads without the proxy."""
    print(f"== {what}: {status}")
    for name, value in fields:
        print(f"{text(name)}: {text(value)}")
    print(f"{len(body)} bytes, {hashlib.sha256(body).hexdigest()}")


def text(value):
    return value.decode("latin-1") if isinstance(value, bytes) else value


def parts(body, size):
    """An upload whose length nobody tells."""
    for at in range(0, len(body), size):
        yield body[at : at + size]
