"""Outputs of labels and alarms of a stream: appended files and a webhook."""

import json
import os
import queue
import sys
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from metaflax import _files

Note: TypeAlias = Callable[[str], None]

# Attempts to deliver an alarm, seconds per attempt, and seconds to wait at the end.
ATTEMPTS, ATTEMPT_SECONDS, LAST_SECONDS = 3, 10.0, 30.0


class AppendedFile:
    """JSONL file for appending, cut to its size in a saved state first.

    Args:
      path: path of the file, which need not exist; `-` for standard output.
      size: size in bytes when the state was saved; None to keep the whole file. Later
        lines are removed, since they are written again.

    Raises:
      ValueError: if the file cannot be written, or is smaller than `size`.
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
        """Flushes the file, and returns its size; None for a pipe."""
        self._file.flush()
        return os.fstat(self._file.fileno()).st_size if self._seekable else None


def check_url(url: str) -> None:
    """Raises ValueError if a URL is no http or https address of a host."""
    if not _is_web_address(url):
        raise ValueError(f"the webhook is {url!r}; give an http or https address.")


def _is_web_address(url: str) -> bool:
    try:
        parts = urllib.parse.urlsplit(url)
        _ = parts.port  # Raises ValueError for one that is no number.
    except ValueError:
        return False
    is_web = parts.scheme in ("http", "https") and parts.hostname is not None
    return is_web and url.isprintable() and " " not in url


class Webhook:
    """Delivers alarms to an address by POST, in the background and in order.

    Args:
      url: URL with scheme http or https.
      note: called with a sentence for each alarm that was not delivered.
    """

    def __init__(self, url: str, note: Note):
        self._url, self._note = url, note
        self._waiting: queue.Queue[Mapping[str, Any]] = queue.Queue()
        threading.Thread(target=self._deliver, daemon=True).start()

    def send(self, alarm: Mapping[str, Any]) -> None:
        """Queues an alarm."""
        self._waiting.put(alarm)

    def close(self) -> None:
        """Waits until all alarms are delivered, for a limited time."""
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
            except Exception as error:  # Later alarms are delivered in any case.
                reason = error
        self._note(
            f"the alarm of {alarm['time']} was not delivered to the webhook: {reason}."
        )
