"""Lines of a stream: standard input, a followed file, or clients of a socket."""

import os
import queue
import socketserver
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

# Seconds between checks of a file that has not grown.
POLL_SECONDS = 0.2
# Longest line of a client of a socket, in bytes, and largest number of queued lines.
MAX_LINE, MAX_WAITING = 2**20, 10_000


class ReplacedError(Exception):
    """Raised for a followed file that was replaced or truncated."""


def lines_of(source: str, *, follow: bool) -> tuple[str, Iterable[bytes]]:
    """Opens a stream of lines.

    Args:
      source: `-` for standard input, `tcp://HOST:PORT` to listen there, or a file.
      follow: whether to wait for lines that are appended to a file.

    Returns:
      The name of the stream, and its lines.

    Raises:
      ValueError: if the file cannot be read, or the address cannot be listened on.
    """
    check(source)
    if source == "-":
        return "<stdin>", sys.stdin.buffer
    if source.startswith("tcp://"):
        return source, _received(source)
    return source, _followed(Path(source)) if follow else _whole(Path(source))


def check(source: str) -> None:
    """Raises ValueError if a source is neither a file nor another kind of stream."""
    if source.startswith("tcp://"):
        _host_and_port(source)
    elif source != "-" and not Path(source).is_file():
        raise ValueError(
            f"{source}: is no file; name one, - for standard input, or an address to"
            " listen at, such as tcp://127.0.0.1:9000."
        )


def _host_and_port(address: str) -> tuple[str, int]:
    parts = urlsplit(address)
    if parts.hostname is None or parts.port is None:
        raise ValueError(
            f"{address} is no address; give a host and a port, as in"
            " tcp://127.0.0.1:9000."
        )
    return parts.hostname, parts.port


def _whole(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from file


def _followed(path: Path) -> Iterator[bytes]:
    """Yields the lines of a file, and those that are appended to it later.

    Raises:
      ReplacedError: if the path names another file, or the file was truncated.
    """
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        begun = b""
        while True:
            piece = file.readline()
            begun += piece
            if begun.endswith(b"\n"):
                yield begun
                begun = b""
            elif not piece:
                _check_same(path, status.st_ino, file.tell())
                time.sleep(POLL_SECONDS)


def _check_same(path: Path, number: int, position: int) -> None:
    try:
        now = path.stat()
    except FileNotFoundError:
        return  # It is about to be replaced.
    if now.st_ino != number or now.st_size < position:
        raise ReplacedError(str(path))


def _received(address: str) -> Iterator[bytes]:
    """Listens on an address, and yields the lines of all clients."""
    arrived: queue.Queue[bytes] = queue.Queue(MAX_WAITING)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while line := self.rfile.readline(MAX_LINE + 1):
                if len(line) > MAX_LINE:
                    return  # Disconnects a client whose line is too long.
                arrived.put(line if line.endswith(b"\n") else line + b"\n")

    server = _server(_host_and_port(address), Handler, address)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def lines() -> Iterator[bytes]:
        with server:
            while True:
                yield arrived.get()

    return lines()


def _server(address: tuple[str, int], handler: Any, name: str) -> Any:
    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address, daemon_threads = True, True

    try:
        return Server(address, handler)
    except OSError as error:
        raise ValueError(f"{name} cannot be listened at: {error}.") from error
