"""A separate PostgreSQL server, on a socket in a temporary folder."""

import contextlib
import glob
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

# Folder of the programs in Debian's packages, which is not on the PATH.
DEBIAN = "/usr/lib/postgresql/*/bin"
USER = "postgres"
# The tests do not need durable commits.
FLAGS = "-c listen_addresses='' -c fsync=off -c max_connections=30"


class Postgres(NamedTuple):
    """A server.

    Attributes:
      folder: folder of its socket and files.
      programs: folder of the programs.
    """

    folder: Path
    programs: Path

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://{USER}@/postgres?host={self.folder}"

    def control(self, verb: str) -> None:
        """Starts or stops the server, and waits for completion."""
        options = ["-o", f"{FLAGS} -k {self.folder}"] if verb == "start" else []
        if verb == "stop":
            options = ["-m", "immediate"]
        log = ["-l", self.folder / "log"]
        self.run("pg_ctl", verb, "-w", "-D", self.folder / "data", *log, *options)

    def run(self, program: str, *args: object) -> None:
        command = [str(self.programs / program), *map(str, args)]
        # The server refuses to run as root.
        user = {"user": USER, "group": USER} if os.getuid() == 0 else {}
        done = subprocess.run(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            cwd=self.folder, check=False, **user,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}: {done.stderr}"


@contextlib.contextmanager
def running() -> Iterator[Postgres]:
    """Runs a server, or skips with the reason."""
    pytest.importorskip("psycopg", reason="psycopg is absent")
    path = os.pathsep.join([*sorted(glob.glob(DEBIAN)), os.environ.get("PATH", "")])
    program = shutil.which("initdb", path=path)
    if program is None:
        pytest.skip("no PostgreSQL server is installed")
    folder = Path(tempfile.mkdtemp(prefix="pg"))  # The path of a socket must be short.
    try:
        if os.getuid() == 0:
            try:
                owner = pwd.getpwnam(USER)
            except KeyError:
                pytest.skip(f"no user {USER}, and PostgreSQL does not run as root")
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        server = Postgres(folder, Path(program).parent)
        server.run("initdb", "-D", folder / "data", "-U", USER, "-A", "trust", "-N")
        server.control("start")
        try:
            yield server
        finally:
            with contextlib.suppress(AssertionError):  # A test may have stopped it.
                server.control("stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
