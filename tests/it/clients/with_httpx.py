"""httpx against the origin at BASE; only the environment says by which way. Usage: with_httpx.py BASE [VERSION]"""

import gzip
import sys

import httpx

from told import GZIPPED, LARGE, parts, pattern, show

base = sys.argv[1]
version = sys.argv[2] if len(sys.argv) > 2 else "HTTP/1.1"
# Without TLS nothing is agreed on: only a client that knows beforehand speaks HTTP/2.
known = version == "HTTP/2" and base.startswith("http:")
client = httpx.Client(http1=not known, http2=version == "HTTP/2", follow_redirects=True, timeout=15)


def seen(what, answer, body=None):
    assert answer.http_version == version, answer.http_version
    show(what, f"{answer.status_code} {answer.reason_phrase}", answer.headers.raw, body or answer.content)
    return answer


# Fields as they were sent: order, letter case, duplicates, an empty value.
answer = seen("fields", client.get(f"{base}/fields", headers=[("x-ODD", "kept"), ("X-Odd", "twice"), ("x-empty", "")]))
assert answer.text == "fields\n" and answer.headers.get_list("X-Twice") == ["one", "two"], answer.headers

# The jar took both cookies, and sends them.
assert dict(client.cookies) == {"first": "1", "second": "2"}, client.cookies
seen("cookies", client.get(f"{base}/echo"))

# Redirects: followed as GET, and with the body kept.
answer = seen("redirect", client.get(f"{base}/redirect"))
assert [hop.status_code for hop in answer.history] == [302] and answer.text == "fields\n", answer.history
answer = seen("preserved", client.post(f"{base}/preserved", content=b"kept"))
assert [hop.status_code for hop in answer.history] == [307] and answer.content == b"kept", answer.history

# Uploads: a form, JSON, a stream of unknown length, a large body.
seen("form", client.post(f"{base}/echo", data={"a": "1", "b": ["2", "3"]}))
seen("json", client.put(f"{base}/echo", json={"a": ["ü", None, 1.5]}))
body = pattern(1_000_003)
answer = seen("upload in parts", client.post(f"{base}/echo", content=parts(body)))
assert answer.content == body, "the upload came back changed"
answer = seen("large upload", client.post(f"{base}/echo", content=body))
assert answer.content == body, "the upload came back changed"

# Downloads: whole, in parts, compressed by the origin and left so.
answer = seen("large", client.get(f"{base}/large"))
assert answer.content == pattern(LARGE), "the download is not what was sent"
with client.stream("GET", f"{base}/stream") as answer:
    body = b"".join(answer.iter_raw())
    seen("stream", answer, body)
assert body == pattern(1 << 20), "the download is not what was sent"
with client.stream("GET", f"{base}/gzip") as answer:
    body = b"".join(answer.iter_raw())
    seen("gzip", answer, body)
assert gzip.decompress(body) == GZIPPED, body
assert client.get(f"{base}/gzip").content == GZIPPED

# Without a body.
answer = seen("head", client.head(f"{base}/large"))
assert answer.content == b"" and answer.headers["Content-Length"] == str(LARGE), answer.headers
seen("missing", client.delete(f"{base}/nowhere?q=a+b&q=%7b"))

# The first part of an answer is here while the second still waits for us.
with client.stream("GET", f"{base}/held") as answer:
    body = answer.iter_raw()
    assert next(body) == b"first"
    assert client.get(f"{base}/release").text == "released\n"
    assert b"".join(body) == b"second"
