"""A log sink: one line of tab-separated numbers a record."""

from metaflax import training


class TabSink:
    """Appends records to `log.tsv` in the run directory."""

    def __init__(self, directory):
        self._file = (directory / "log.tsv").open("a")

    def write(self, record):
        """Appends a record."""
        numbers = training.numbers_of(record)
        self._file.write(f"{record['step']}\t{numbers}\n")

    def close(self):
        """Closes the file."""
        self._file.close()
