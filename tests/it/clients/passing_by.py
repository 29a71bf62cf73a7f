"""Clients that ignore HTTPS_PROXY in silence, and what the README says instead: one request to BASE/fields, then the origin's port is
printed and the connection held. Usage: passing_by.py CLIENT BASE"""

import asyncio
import os
import signal
import sys
from urllib.parse import urlsplit

client, base = sys.argv[1:]


def called(status):
    assert status == 200, status
    print(urlsplit(base).port, flush=True)


async def twilio(**how):
    import aiohttp
    from twilio.http.async_http_client import AsyncTwilioHttpClient

    http = AsyncTwilioHttpClient(**how)
    if http.session is None:
        http.session = aiohttp.ClientSession(trust_env=True)
    async with http:
        answer = await http.request("GET", f"{base}/fields")
        called(answer.status_code)
        await asyncio.Event().wait()


def by_httplib2():
    import httplib2

    http = httplib2.Http(ca_certs=os.environ["SSL_CERT_FILE"])
    answer, _ = http.request(f"{base}/fields")
    called(answer.status)
    signal.pause()


match client:
    case "twilio":
        asyncio.run(twilio())
    case "twilio with proxy_url":
        asyncio.run(twilio(proxy_url=os.environ["HTTPS_PROXY"]))
    case "twilio with a session":
        asyncio.run(twilio(pool_connections=False))
    case "httplib2":
        # As where PySocks is not installed.
        sys.modules["socks"] = None
        by_httplib2()
    case "httplib2 with PySocks":
        by_httplib2()
