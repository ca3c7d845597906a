"""Servers as processes on free ports of this machine, and a client of theirs."""

import contextlib
import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

START_SECONDS = 600
ANSWER_SECONDS = 120
HOST = "127.0.0.1"


class Server(NamedTuple):
    """A process that answers on a port.

    Attributes:
      process: the process.
      port: where it listens.
      log: file of its output.
    """

    process: subprocess.Popen
    port: int
    log: Path

    def memory(self) -> float:
        """Returns its resident memory in MiB; 0 where that is unknown."""
        return self._status("VmRSS") / 1024

    def open_files(self) -> int:
        """Counts its open files and sockets."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").glob("*")))

    def client(self, token: str | None = None) -> "Client":
        """Returns a client with a new connection."""
        return Client(self.port, token)

    def ask(
        self, method: str, path: str, body: Any = None, token: str | None = None
    ) -> tuple[int, Any]:
        """Sends one request, as `Client.ask`."""
        with contextlib.closing(self.client(token)) as client:
            return client.ask(method, path, body)

    def _status(self, field: str) -> int:
        path = Path(f"/proc/{self.process.pid}/status")
        with contextlib.suppress(OSError):
            for line in path.read_text().splitlines():
                if line.startswith(f"{field}:"):
                    return int(line.split()[1])
        return 0


class Client:
    """A client with a connection that stays open.

    Args:
      port: port of the server.
      token: bearer token; None for none.

    Attributes:
      retry_after: seconds of the last answer's `Retry-After`; 0 for none.
    """

    def __init__(self, port: int, token: str | None = None):
        self.retry_after = 0.0
        self._headers = {"Content-Type": "application/json"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        self._connection = http.client.HTTPConnection(
            HOST, port, timeout=ANSWER_SECONDS
        )

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Returns status and content of an answer.

        Raises:
          OSError, http.client.HTTPException: if there is none.
        """
        content = None if body is None else json.dumps(body)
        try:
            self._connection.request(method, path, content, self._headers)
            answer = self._connection.getresponse()
            raw = answer.read()
        except BaseException:
            self._connection.close()
            raise
        self.retry_after = float(answer.headers.get("retry-after", 0))
        kind = answer.headers.get_content_type()
        parsed = kind == "application/json" and raw
        return answer.status, json.loads(raw) if parsed else raw

    def close(self) -> None:
        """Closes the connection until the next request."""
        self._connection.close()


def metaflax_command(
    model: str, store: Path, tokens: Path | None, *options: str
) -> list[str]:
    """Returns the command of a service, without its port."""
    command = [sys.executable, "-m", "metaflax", "serve", "--model", model]
    command += ["--store", str(store), *options]
    return command if tokens is None else [*command, "--tokens", str(tokens)]


@contextlib.contextmanager
def running(command: Sequence[str], log: Path) -> Iterator[Server]:
    """Starts a server, waits until it is ready, and kills it at the end.

    Args:
      command: command line, to which `--port` is added.
      log: file to which its output is appended.

    Raises:
      RuntimeError: if it ends, or is not ready in time.
    """
    with socket.socket() as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*command, "--port", str(port)], stdout=output, stderr=subprocess.STDOUT
        )
    server = Server(process, port, log)
    try:
        _await_ready(server)
        yield server
    finally:
        process.kill()
        process.wait()


def is_ready(server: Server) -> bool:
    """Whether a server answers that it is ready."""
    try:
        return server.ask("GET", "/readyz")[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def _await_ready(server: Server) -> None:
    end = time.monotonic() + START_SECONDS
    while not is_ready(server):
        if server.process.poll() is not None:
            raise RuntimeError(f"the server ended; see {server.log}.")
        if time.monotonic() > end:
            raise RuntimeError(f"the server is not ready; see {server.log}.")
        time.sleep(0.1)
