"""aiosmtpd on a port of the loopback that the kernel picks: the first line says which.

Arguments: a directory, where each mail is written as N.json before it is acknowledged; how it is secured (plain,
starttls, implicit); then certificate and key. Mail to nobody@ is refused for good, to later@ for now, to grey@ the first
time; a login must be strop with the password "0123456789abcdef".
"""

import asyncio
import json
import pathlib
import socket
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

directory, security, *pair = sys.argv[1:]


class Handler:
    taken = 0
    known = False

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody@"):
            return "550 no such user"
        if address.startswith("later@"):
            return "451 come back later"
        if address.startswith("grey@") and not self.known:
            self.known = True
            return "451 greylisted"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        self.taken += 1
        mail = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "hello": session.host_name,
            "secure": session.ssl is not None or security == "implicit",
            "login": session.authenticated,
            "text": envelope.content.decode(),
        }
        (pathlib.Path(directory) / f"{self.taken}.json").write_text(json.dumps(mail))
        return f"250 taken as {self.taken}"


def login(server, session, envelope, mechanism, data):
    fits = data.login == b"strop" and data.password == b"0123456789abcdef"
    return AuthResult(success=fits, handled=False)


async def main():
    context = None
    if pair:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*pair)
    starttls = context if security == "starttls" else None
    handler = Handler()

    def session():
        return SMTP(
            handler,
            hostname="mail.example",
            tls_context=starttls,
            require_starttls=starttls is not None,
            authenticator=login,
            auth_require_tls=False,
        )

    listener = socket.create_server(("127.0.0.1", 0))
    implicit = context if security == "implicit" else None
    server = await asyncio.get_running_loop().create_server(session, sock=listener, ssl=implicit)
    print(listener.getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
