"""A log sink that writes step, name and value of each number on a line."""


class TabSink:
    """Appends records to `log.tsv` in the run directory."""

    def __init__(self, directory):
        self._file = (directory / "log.tsv").open("a")

    def write(self, record):
        """Appends the numbers of a record."""
        for name, value in record.items():
            self._file.write(f"{record['step']}\t{name}\t{value}\n")

    def close(self):
        """Closes the file."""
        self._file.close()
