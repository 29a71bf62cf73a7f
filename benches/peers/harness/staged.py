"""What is there before any peer: the backend, the certificate, and what loads are made with."""

from __future__ import annotations

import email.utils
import shutil
from pathlib import Path

from . import peers, tools
from .load import Generators
from .peers import Place
from .processes import Crew, eventually


def staged(crew: Crew, scratch: Path, load_cores: str, proxy_core: int) -> tuple[Place, Generators, list[int]]:
    """Where a peer runs, what loads it, and the processes behind it."""
    out = scratch / "backend.out"
    date = email.utils.formatdate(usegmt=True)
    backend = crew.start([tools.load("backend"), date], load_cores, out, scratch / "backend.err")
    unary_out = scratch / "unary.out"
    unary = crew.start([tools.load("unary")], load_cores, unary_out, scratch / "unary.err")
    for told in (out, unary_out):
        eventually("the backend tells its port", lambda: told.read_text().endswith("\n"), seconds=5)
    cert, key, pem = peers.certificate(crew, scratch)
    openssl = scratch / "openssl.cnf"
    shutil.copy(tools.HERE / "templates" / "openssl.cnf", openssl)
    place = Place(crew, scratch, int(out.read_text()), int(unary_out.read_text()), str(proxy_core), cert, key, pem)
    return place, Generators(crew, load_cores, scratch, openssl), [backend.pid, unary.pid]
