"""Out-of-scope texts, which belong to no class, as additional queries."""

import dataclasses
from collections.abc import Collection, Hashable
from pathlib import Path
from typing import Any

import numpy as np

from metaflax import tasks
from metaflax.data.samplers import _pools
from metaflax.data.samplers._episodes import Episode, EpisodeSizes, Sampler
from metaflax.data.sources._equal_texts import text_key
from metaflax.data.sources._examples import listing
from metaflax.data.sources._sources import read_rows

# The column with the split of a text in the original release, and its test split.
SPLIT, TEST = "orig_split", "test"


def out_of_scope_texts(
    source: str | Path,
    known: Collection[Hashable] = (),
    *,
    form: tasks.Form = tasks.TEXT,
    text: str = "text",
    text_pair: str = "text_pair",
) -> tuple[Any, ...]:
    r"""Reads out-of-scope texts, which belong to no class.

    Args:
      source: as for `read`, such as `oos.jsonl` of CLINC150. If rows have a column
        `orig_split`, only those of the split `test` are read.
      known: in-scope texts, which must not occur in the source, up to case and white
        space.
      form: the form of the texts.
      text: the column of texts.
      text_pair: the column of second texts, if the form has two.

    Returns:
      The distinct texts, in the order of the source.

    Raises:
      ValueError: if the source is missing or malformed, has no out-of-scope text, or
        has one that is in `known`.

    Examples:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = Path(folder) / "others.csv"
      ...     rows = "text,orig_split", "what is love,test", "why is it so,train"
      ...     _ = path.write_text("\n".join(rows))
      ...     out_of_scope_texts(path)
      ('what is love',)
    """
    columns = {"text": text, "text_pair": text_pair}
    texts = dict.fromkeys(
        form.read(tasks.Fields(row, place, columns))
        for place, row in read_rows(source)
        if row.get(SPLIT, TEST) == TEST
    )
    if not texts:
        raise ValueError(
            f"{source}: holds no text out of scope; give at least one row, and where"
            f" there is a column {SPLIT} one of {TEST!r}."
        )
    keys = set(map(text_key, known))
    if shared := sorted(str(text) for text in texts if text_key(text) in keys):
        raise ValueError(
            f"{source}: the texts {listing(shared, most=3)} have a class in the data,"
            " and cannot be out of scope; leave them out."
        )
    return tuple(texts)


@dataclasses.dataclass(frozen=True)
class WithOutOfScope:
    """Adds as many out-of-scope queries to a sampler's episodes as they have queries.

    They follow the in-scope queries. Their targets are 0, a placeholder.

    Attributes:
      sampler: samples episodes of classes.
      first: index of the first out-of-scope text; the sampler's examples have smaller
        ones.
      count: number of out-of-scope texts.

    Raises:
      ValueError: if there are fewer out-of-scope texts than queries in an episode.

    Examples:
      >>> from metaflax.data.sources._examples import Examples
      >>> from metaflax.data.samplers._single_label import EpisodeSampler
      >>> texts = tuple(f"{n} {c}" for c in "ab" for n in range(4))
      >>> letters = Examples("letters", texts, tuple((t[-1],) for t in texts))
      >>> sampler = EpisodeSampler(letters, way=2, shot=1, queries=1)
      >>> episode = WithOutOfScope(sampler, first=8, count=5).episode(0, 7)
      >>> print(episode.query.shape, episode.query[2:] >= 8)
      (4,) [ True  True]
    """

    sampler: Sampler
    first: int
    count: int

    def __post_init__(self):
        if self.count < (num := self.sampler.sizes.num_queries):
            raise ValueError(
                f"there are {self.count} texts out of scope, and an episode takes"
                f" {num} of them, as many as it has queries; give more, or lower"
                " queries."
            )

    @property
    def sizes(self) -> EpisodeSizes:
        """The largest episode."""
        sizes = self.sampler.sizes
        return sizes._replace(num_queries=2 * sizes.num_queries)

    def episode(self, seed: int, index: int) -> Episode:
        """Samples episode `index` of the endless list of `seed`."""
        episode = self.sampler.episode(seed, index)
        # A separate stream from the samplers'.
        rng = _pools.generator(seed, index, stream=5)
        drawn = self.first + rng.choice(self.count, len(episode.query), replace=False)
        placeholders = np.zeros_like(episode.query_targets)
        return dataclasses.replace(
            episode,
            query=np.concatenate([episode.query, drawn.astype(episode.query.dtype)]),
            query_targets=np.concatenate([episode.query_targets, placeholders]),
        )
