"""aiohttp against the origin at BASE; only the environment says by which way. Usage: with_aiohttp.py BASE"""

import asyncio
import gzip
import sys

import aiohttp

from told import GZIPPED, LARGE, parts, pattern, show

base = sys.argv[1]


async def seen(what, asking):
    async with asking as answer:
        body = await answer.read()
        show(what, f"{answer.status} {answer.reason}", answer.raw_headers, body)
        return answer, body


async def upload(body):
    for part in parts(body):
        yield part


async def fields_cookies_redirects(session):
    # Fields as they were sent: order, letter case, duplicates, an empty value.
    sent = [("x-ODD", "kept"), ("X-Odd", "twice"), ("x-empty", "")]
    answer, body = await seen("fields", session.get(f"{base}/fields", headers=sent))
    assert body == b"fields\n" and answer.headers.getall("X-Twice") == ["one", "two"], answer.raw_headers

    # The jar took both cookies, and sends them.
    assert {cookie.key: cookie.value for cookie in session.cookie_jar} == {"first": "1", "second": "2"}
    await seen("cookies", session.get(f"{base}/echo"))

    # Redirects: followed as GET, and with the body kept.
    answer, body = await seen("redirect", session.get(f"{base}/redirect"))
    assert [hop.status for hop in answer.history] == [302] and body == b"fields\n", answer.history
    answer, body = await seen("preserved", session.post(f"{base}/preserved", data=b"kept"))
    assert [hop.status for hop in answer.history] == [307] and body == b"kept", answer.history


async def uploads(session):
    await seen("form", session.post(f"{base}/echo", data={"a": "1", "b": "2"}))
    await seen("json", session.put(f"{base}/echo", json={"a": ["ü", None, 1.5]}))
    sent = pattern(1_000_003)
    _, body = await seen("upload in chunks", session.post(f"{base}/echo", data=upload(sent)))
    assert body == sent, "the upload came back changed"
    _, body = await seen("large upload", session.post(f"{base}/echo", data=sent))
    assert body == sent, "the upload came back changed"


async def downloads(session):
    # Whole, in chunks, compressed by the origin and left so.
    _, body = await seen("large", session.get(f"{base}/large"))
    assert body == pattern(LARGE), "the download is not what was sent"
    _, body = await seen("stream", session.get(f"{base}/stream"))
    assert body == pattern(1 << 20), "the download is not what was sent"
    _, body = await seen("gzip", session.get(f"{base}/gzip", auto_decompress=False))
    assert gzip.decompress(body) == GZIPPED, body

    # Without a body.
    answer, body = await seen("head", session.head(f"{base}/large"))
    assert body == b"" and answer.headers["Content-Length"] == str(LARGE), answer.raw_headers
    await seen("missing", session.delete(f"{base}/nowhere?q=a+b&q=%7b"))

    # The first part of an answer is here while the second still waits for us.
    async with session.get(f"{base}/held") as answer:
        assert await answer.content.readexactly(5) == b"first"
        async with session.get(f"{base}/release") as released:
            assert await released.text() == "released\n"
        assert await answer.read() == b"second"


async def main():
    # `trust_env`: aiohttp alone does not look at the proxy variables by itself.
    timeout = aiohttp.ClientTimeout(total=15)
    async with aiohttp.ClientSession(trust_env=True, timeout=timeout) as session:
        await fields_cookies_redirects(session)
        await uploads(session)
        await downloads(session)


asyncio.run(main())
