"""Outputs of watching, and the state from which a later start resumes."""

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from metaflax import _files
from metaflax.workflows.watching._monitor import Monitor
from metaflax.workflows.watching._outputs import AppendedFile, Note, Webhook, check_url


@dataclasses.dataclass(frozen=True)
class Outputs:
    """Destinations of the results.

    Attributes:
      labels: file of a prediction for each text, `-` for standard output; None for
        none.
      alarms: file of alarms, `-` for standard output.
      webhook: address that alarms are posted to.
      state: file of the state from which a later start resumes; None for none.
    """

    labels: str | None = None
    alarms: str = "-"
    webhook: str | None = None
    state: Path | None = None

    def __post_init__(self):
        if self.webhook is not None:
            check_url(self.webhook)


@dataclasses.dataclass
class State:
    """State from which a later start resumes.

    Attributes:
      identity: model and settings that it belongs to.
      monitor: the charts.
      num_texts: number of texts so far.
      num_rows: number of rows read from the current file.
      first_row: digest of the first row of that file.
      sizes: sizes in bytes of the files of labels and alarms.
    """

    identity: dict[str, Any]
    monitor: Monitor
    num_texts: int = 0
    num_rows: int = 0
    first_row: str | None = None
    sizes: dict[str, int | None] = dataclasses.field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """Returns the state as a JSON object."""
        return {**vars(self), "monitor": self.monitor.record()}


def read_state(path: Path | None, identity: dict[str, Any]) -> State | None:
    """Reads the state of an earlier start; None if there is none.

    Raises:
      ValueError: if the file holds no state, or that of another model or settings.
    """
    if path is None or not path.exists():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        state = State(**{**record, "monitor": Monitor.from_record(record["monitor"])})
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ValueError(
            f"{path} is no state of `watch`: {error}; name another file, or remove it."
        ) from error
    for name, value in identity.items():
        if state.identity.get(name) != value:
            raise ValueError(
                f"{path} is the state of another {name.replace('_', ' ')}; name another"
                " file, or remove it to begin anew."
            )
    return state


@dataclasses.dataclass
class Writer:
    """Writes labels, alarms and the state, in an order that loses none on a crash."""

    alarms: AppendedFile
    labels: AppendedFile | None
    webhook: Webhook | None
    state: Path | None

    def label(self, row: dict[str, Any]) -> None:
        """Writes the prediction of a text."""
        if self.labels:
            self.labels.write(row)

    def alarm(self, alarm: dict[str, Any]) -> None:
        """Writes an alarm, and sends it to the webhook."""
        self.alarms.write(alarm)
        if self.webhook:
            self.webhook.send(alarm)

    def save(self, state: State) -> None:
        """Flushes the outputs, and then writes the state."""
        if self.labels:
            state.sizes["labels"] = self.labels.size()
        state.sizes["alarms"] = self.alarms.size()
        if self.state is not None:
            _files.write_json(self.state, state.record())


@contextlib.contextmanager
def opened_outputs(
    outputs: Outputs, sizes: dict[str, Any], note: Note
) -> Iterator[Writer]:
    """Opens all outputs, and closes them at the end of the block."""
    with contextlib.ExitStack() as stack:

        def opened(output: Any) -> Any:
            return stack.enter_context(contextlib.closing(output))

        hook, labels = outputs.webhook, outputs.labels
        yield Writer(
            webhook=None if hook is None else opened(Webhook(hook, note)),
            alarms=opened(AppendedFile(outputs.alarms, sizes.get("alarms"))),
            labels=None
            if labels is None
            else opened(AppendedFile(labels, sizes.get("labels"))),
            state=outputs.state,
        )
