"""Summary of the data of a run, and notes on it."""

from rich.console import Console

from metaflax._wording import counted
from metaflax.data.sources._equal_texts import count_shared
from metaflax.workflows.runs._console import report_notes
from metaflax.workflows.runs._context_losses import context_notes
from metaflax.workflows.runs._episodes import Episodes
from metaflax.workflows.runs._run import Run


def report_data(run: Run, console: Console) -> None:
    """Prints the size of each split and of the data left out."""
    for name in ("train", "valid", "test"):
        source = getattr(run, name)
        console.print(f"meta-{name}: {source.summary(run.config.data.split_by)}")
    if dropped := run.splits.train.num_unlabelled:
        console.print(f"left out, without a label: {counted(dropped, 'text')}")
    if run.splits.num_unused:
        unused = counted(run.splits.num_unused, "text")
        console.print(f"in none of the splits: {unused}")
    report_notes(data_notes(run), console)


def data_notes(run: Run) -> list[str]:
    """Lists notes on the data, and on texts that two splits share."""
    splits, episodes = run.splits, (run.train, run.valid, run.test)
    parts = [splits.train, splits.valid, splits.test]
    parts += [e.examples for e in episodes if isinstance(e, Episodes)]
    notes = list(dict.fromkeys(note for part in parts for note in part.notes))
    of_splits = {"train": run.train, "valid": run.valid, "test": run.test}
    in_memory = {n: e for n, e in of_splits.items() if isinstance(e, Episodes)}
    notes += context_notes(run.config, run.model, in_memory)
    if shared := count_shared(splits.test.texts, splits.train.texts):
        notes.append(
            f"texts of meta-test that occur in meta-train too: {shared}; leave them out"
            " of one of the two."
        )
    return notes
