"""localstripe on a port of the loopback that the kernel picks: the first line says which.

Two things are added. It remembers first answers by idempotency key, as the vendor does. And it tells at /_seen what it
was asked: method, path, Host and idempotency key of each request.
"""

import socket

from aiohttp import web
from localstripe import resources, server

seen = []
first_answers = {}


@web.middleware
async def remember(request, handler):
    if request.path == "/_seen":
        return web.json_response(seen)
    key = request.headers.get("Idempotency-Key")
    seen.append([request.method, request.path, request.host, key])
    if request.method != "POST" or key is None:
        return await handler(request)
    if key in first_answers:
        status, body = first_answers[key]
        headers = {"Idempotent-Replayed": "true"}
        return web.Response(body=body, status=status, headers=headers, content_type="application/json")
    answer = await handler(request)
    first_answers[key] = answer.status, answer.body
    return answer


# All state lives in memory: two tests at once share no file.
resources.Store.dump_to_disk = lambda store: None

server.app.middlewares.insert(0, remember)
sock = socket.create_server(("127.0.0.1", 0))
print(sock.getsockname()[1], flush=True)
web.run_app(server.app, sock=sock, print=None)
