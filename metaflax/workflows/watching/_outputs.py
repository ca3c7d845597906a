"""Where labels and alarms of a stream go: files that grow, and a webhook."""

import json
import os
import queue
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from metaflax import _files

Note: TypeAlias = Callable[[str], None]

# Attempts to deliver an alarm, seconds of each, and of the wait for the last ones.
ATTEMPTS, ATTEMPT_SECONDS, LAST_SECONDS = 3, 10.0, 30.0


class AppendedFile:
    """A file of JSON lines that grows, and continues where a state says it ended.

    Args:
      path: of a file, which need not exist; `-` for standard output.
      size: bytes that it has by the state; None to keep what is there. What was written
        after the state was saved is removed, since it is written again.

    Raises:
      ValueError: if it cannot be written, or has fewer bytes.
    """

    def __init__(self, path: str, size: int | None):
        self._seekable = path != "-" and (
            not Path(path).exists() or Path(path).is_file()
        )
        if path == "-":
            self._file: Any = sys.stdout
            return
        try:
            self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115 - `close`
        except OSError as error:
            raise ValueError(f"{path} cannot be written: {error.strerror}.") from error
        if self._seekable and size is not None:
            self._cut(path, size)

    def _cut(self, path: str, size: int) -> None:
        num_bytes = os.fstat(self._file.fileno()).st_size
        if num_bytes < size:
            self.close()
            raise ValueError(
                f"{path} has {num_bytes} bytes, and the state says {size}; put it back,"
                " or remove the state to begin anew."
            )
        self._file.truncate(size)

    def write(self, record: Mapping[str, Any]) -> None:
        """Appends a line."""
        self._file.write(_files.json_text(record, ensure_ascii=False) + "\n")

    def close(self) -> None:
        """Closes the file; standard output stays open."""
        if self._file is not sys.stdout:
            self._file.close()

    def size(self) -> int | None:
        """Writes out what waits, and returns the size; None for a pipe."""
        self._file.flush()
        return os.fstat(self._file.fileno()).st_size if self._seekable else None


def check_url(url: str) -> None:
    """Raises ValueError if an address is neither http nor https."""
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"the webhook is {url!r}; give an http or https address.")


class Webhook:
    """Delivers alarms to an address by POST, in the background and in order.

    Args:
      url: http or https.
      note: gets a sentence about each alarm that was not delivered.
    """

    def __init__(self, url: str, note: Note):
        self._url, self._note = url, note
        self._waiting: queue.Queue[Mapping[str, Any]] = queue.Queue()
        threading.Thread(target=self._deliver, daemon=True).start()

    def send(self, alarm: Mapping[str, Any]) -> None:
        """Puts an alarm in the queue."""
        self._waiting.put(alarm)

    def close(self) -> None:
        """Waits until all are delivered, but not for ever."""
        done = threading.Thread(target=self._waiting.join, daemon=True)
        done.start()
        done.join(LAST_SECONDS)

    def _deliver(self) -> None:
        while True:
            alarm = self._waiting.get()
            self._post(alarm)
            self._waiting.task_done()

    def _post(self, alarm: Mapping[str, Any]) -> None:
        request = urllib.request.Request(
            self._url,
            json.dumps(alarm).encode(),
            {"Content-Type": "application/json"},
        )
        reason: Exception | None = None
        for _ in range(ATTEMPTS):
            try:
                with urllib.request.urlopen(request, timeout=ATTEMPT_SECONDS):
                    return
            except (OSError, urllib.error.URLError) as error:
                reason = error
        self._note(
            f"the alarm of {alarm['time']} was not delivered to the webhook: {reason}."
        )
