"""Starts processes on the cores they belong to, and ends every one of them, whatever happens."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Callable

from .tools import program


class Crew:
    """All long-lived processes of a run. Leaving the `with` block ends what is still alive."""

    def __init__(self) -> None:
        self._alive: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> "Crew":
        # A shell may have started us with Ctrl-C ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for stop in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(stop, lambda *_: signal.raise_signal(signal.SIGINT))
        return self

    def __exit__(self, *_: object) -> None:
        # A second Ctrl-C must not leave a process behind.
        for stop in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(stop, signal.SIG_IGN)
        for process in list(self._alive):
            self.stop(process, patience=1)

    def start(
        self, argv: list[str], cores: str, out: Path | int, err: Path, env: dict[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Starts it as the leader of a session of its own, so that its children can be ended with it."""
        pinned = [program("taskset"), "-c", cores, *argv]
        with open(err, "ab") as errors:
            stdout = open(out, "ab") if isinstance(out, Path) else out
            process = subprocess.Popen(
                pinned, stdin=subprocess.DEVNULL, stdout=stdout, stderr=errors, env=env, start_new_session=True
            )
            if isinstance(out, Path):
                stdout.close()
        self._alive.append(process)
        return process

    def run(
        self, argv: list[str], cores: str, timeout: float, env: dict[str, str] | None = None
    ) -> str:
        """Runs it to its end and gives what it printed; a failure is an error with its last words."""
        pinned = [program("taskset"), "-c", cores, *argv]
        process = subprocess.Popen(
            pinned, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})}, start_new_session=True,
        )
        self._alive.append(process)
        try:
            printed = process.communicate(timeout=timeout)[0].decode(errors="replace")
        finally:
            self.stop(process, patience=1)
        if process.returncode != 0:
            raise RuntimeError(f"{' '.join(argv)} ended with {process.returncode}:\n{printed[-2000:]}")
        return printed

    def end(self, process: subprocess.Popen[bytes], patience: float) -> None:
        """Lets it end by itself for a while."""
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            pass
        self.stop(process, patience=1)

    def stop(self, process: subprocess.Popen[bytes], patience: float) -> None:
        """Asks it to leave, then ends its whole session."""
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(patience)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
        if process in self._alive:
            self._alive.remove(process)


def free_ports(count: int) -> list[int]:
    """Ports that the kernel picks. Another process may take one before it is used; the start is then tried again."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def eventually(what: str, true: Callable[[], bool], seconds: float) -> None:
    """Waits until it is true; an error that says what was not, if it never is."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(0.01)


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
