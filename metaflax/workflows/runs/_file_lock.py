"""A lock between processes that ends with the process that holds it."""

from pathlib import Path
from typing import IO


class FileLock:
    """A file that one process locks at a time; whoever dies lets go of it.

    Args:
      path: of the file, which is made where it is missing, and stays.
    """

    def __init__(self, path: Path):
        self._path = path
        self._file: IO[bytes] | None = None

    def acquire(self, wait: bool = True) -> bool:
        """Locks it, once nobody else does, or not at all.

        Args:
          wait: whether to wait for others.

        Returns:
          Whether it is locked.
        """
        import fcntl  # Here, since Windows has none.

        file = self._path.open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        self._file = file
        return True

    def release(self) -> None:
        """Lets go of it."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> "FileLock":
        self.acquire()
        return self

    def __exit__(self, *error: object) -> None:
        self.release()
