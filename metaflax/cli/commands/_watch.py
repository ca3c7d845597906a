"""The command `watch`."""

import dataclasses
from pathlib import Path
from typing import ClassVar

from rich.console import Console

from metaflax import workflows
from metaflax._wording import counted
from metaflax.cli.commands._input import Input
from metaflax.cli.commands._machines import Flag


@dataclasses.dataclass(frozen=True)
class Watch:
    """Watch a stream of texts, with an alarm where a class surges.

    A control chart of each class watches its share in groups of texts, by the
    probabilities of an adapted classifier.
    """

    EXAMPLES: ClassVar = (
        "metaflax watch --model my_model --texts inbox.log --past usual.txt --follow",
    )
    PAGE: ClassVar = "howto/watch"

    model: Path
    """Directory of a classifier that `adapt` wrote."""
    texts: str = "-"
    """Stream of texts: a file, - for standard input, or tcp://HOST:PORT to listen
    there. A row is a line, or a row of JSONL, CSV or TSV."""
    past: Path | None = None
    """File of usual texts, without labels, that the charts are fitted to: 100 or more,
    and the more, the sooner a surge is noticed. Not needed where --state names the
    state of an earlier start."""
    follow: Flag = False
    """Wait for lines that are appended to the file of texts, as `tail -F` does."""
    classes: tuple[str, ...] = ()
    """Classes to watch (default: all)."""
    group_size: int = 20
    """Number of texts that a chart takes together."""
    false_alarms: float = 0.005
    """Rate of false alarms per group of texts, of all classes together; a mean over
    samples of usual texts."""
    alarms: str = "-"
    """File that alarms are appended to, one JSON object per line; - for standard
    output."""
    out: str | None = None
    """File that the prediction of each text is appended to, as `predict` writes it; -
    for standard output (default: none)."""
    webhook: str | None = None
    """Address that each alarm is posted to as JSON."""
    state: Path | None = None
    """File of the state, with which a later start continues where this one ended."""
    batch_size: int = 32
    """Number of texts of 32 tokens in a batch."""
    input: Input = dataclasses.field(default_factory=Input)

    def execute(self, console: Console) -> None:
        """Watches until the stream ends."""
        del console  # Standard output is for alarms.
        errors = Console(stderr=True, highlight=False, soft_wrap=True)

        def note(sentence: str) -> None:
            errors.print(sentence, markup=False)

        count = workflows.watch(
            self.model,
            self.texts,
            past=self.past,
            follow=self.follow,
            classes=self.classes,
            group_size=self.group_size,
            false_alarms=self.false_alarms,
            alarms=self.alarms,
            labels=self.out,
            webhook=self.webhook,
            state=self.state,
            column=self.input.column,
            column_pair=self.input.column_pair,
            format=self.input.input_format,
            encoding=self.input.encoding,
            batch_size=self.batch_size,
            note=note,
        )
        note(f"{counted(count, 'text')} watched.")
