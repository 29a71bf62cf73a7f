"""requests against the origin at BASE; only the environment says by which way. Usage: with_requests.py BASE"""

import gzip
import sys

import requests

from told import GZIPPED, LARGE, parts, pattern, show

base = sys.argv[1]
session = requests.Session()


def seen(what, answer, body=None):
    show(what, f"{answer.status_code} {answer.reason}", answer.raw.headers.items(), body or answer.content)
    return answer


# Fields as they were sent: order, letter case, duplicates, an empty value.
answer = seen("fields", session.get(f"{base}/fields", headers={"x-ODD": "kept", "X-Empty": ""}))
assert answer.text == "fields\n" and answer.raw.headers.getlist("X-Twice") == ["one", "two"], answer.raw.headers

# The jar took both cookies, and sends them.
assert session.cookies.get_dict() == {"first": "1", "second": "2"}, session.cookies
seen("cookies", session.get(f"{base}/echo"))

# Redirects: followed as GET, and with the body kept.
answer = seen("redirect", session.get(f"{base}/redirect"))
assert [hop.status_code for hop in answer.history] == [302] and answer.text == "fields\n", answer.history
answer = seen("preserved", session.post(f"{base}/preserved", data=b"kept"))
assert [hop.status_code for hop in answer.history] == [307] and answer.content == b"kept", answer.history

# Uploads: a form, JSON, files, a stream of unknown length, a large body.
seen("form", session.post(f"{base}/echo", data={"a": "1", "b": ["2", "3"]}))
seen("json", session.put(f"{base}/echo", json={"a": ["ü", None, 1.5]}))
body = pattern(1_000_003)
answer = seen("upload in chunks", session.post(f"{base}/echo", data=parts(body)))
assert answer.content == body, "the upload came back changed"
answer = seen("large upload", session.post(f"{base}/echo", data=body))
assert answer.content == body, "the upload came back changed"

# Downloads: whole, in chunks, compressed by the origin and left so.
answer = seen("large", session.get(f"{base}/large"))
assert answer.content == pattern(LARGE), "the download is not what was sent"
answer = session.get(f"{base}/stream", stream=True)
body = b"".join(answer.iter_content(10_000))
seen("stream", answer, body)
assert body == pattern(1 << 20), "the download is not what was sent"
answer = session.get(f"{base}/gzip", stream=True)
body = answer.raw.read(decode_content=False)
seen("gzip", answer, body)
assert gzip.decompress(body) == GZIPPED, body
assert session.get(f"{base}/gzip").content == GZIPPED

# Without a body.
answer = seen("head", session.head(f"{base}/large"))
assert answer.content == b"" and answer.headers["Content-Length"] == str(LARGE), answer.headers
seen("missing", session.delete(f"{base}/nowhere?q=a+b&q=%7b"))

# The first part of an answer is here while the second still waits for us.
answer = session.get(f"{base}/held", stream=True)
body = answer.iter_content(5)
assert next(body) == b"first"
assert session.get(f"{base}/release").text == "released\n"
assert b"".join(body) == b"second"
