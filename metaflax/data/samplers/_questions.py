"""Episodes for extractive question answering."""

import dataclasses

import numpy as np

from metaflax import tasks
from metaflax.data.samplers import _pools
from metaflax.data.samplers._episodes import Episode, EpisodeSizes
from metaflax.data.sources._examples import Examples


@dataclasses.dataclass(frozen=True)
class QuestionSampler:
    """Samples episodes of questions about contexts, each from one domain.

    A domain is drawn (if there are several), then support questions in it, uniformly
    and without replacement, then queries among the questions about other contexts, so
    that no query shares a context with the support set. Unanswerable questions are as
    frequent as in the data, except that an answerable one replaces the last support
    question if all of them are unanswerable.

    Attributes:
      examples: the examples to draw from.
      shot: support questions per episode, or (least, most), drawn uniformly.
      queries: query questions per episode, or (least, most), drawn uniformly.

    Raises:
      ValueError: if a domain has no answerable question, or may have too few questions
        about other contexts.

    Examples:
      >>> from metaflax.tasks import Answer, Question
      >>> texts = tuple(Question("Who?", f"{name} does.") for name in "ABCD")
      >>> answers = tuple((Answer(text.context[0], 0, 1),) for text in texts)
      >>> who = Examples("who", texts, ((),) * 4, targets=answers)
      >>> episode = QuestionSampler(who, shot=1, queries=3).episode(0, 0)
      >>> sorted([*episode.support.tolist(), *episode.query.tolist()])
      [0, 1, 2, 3]
    """

    examples: Examples
    shot: _pools.Count
    queries: _pools.Count
    _ranges: tuple[_pools.Range, _pools.Range] = dataclasses.field(
        init=False, repr=False, compare=False
    )
    _members: tuple[np.ndarray, ...] = dataclasses.field(
        init=False, repr=False, compare=False
    )
    # [examples], the index of the context, and whether the question is answerable.
    _contexts: np.ndarray = dataclasses.field(init=False, repr=False, compare=False)
    _answered: np.ndarray = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self):
        texts = [t for t in self.examples.texts if isinstance(t, tasks.Question)]
        if self.examples.targets is None or len(texts) < len(self.examples):
            raise ValueError(
                f"{self.examples.name}: holds no questions with answers; read it with"
                " task=tasks.question_answering()."
            )
        shot = _pools.count_range("shot", self.shot, 1)
        queries = _pools.count_range("queries", self.queries, 1)
        contexts: dict[str, int] = {}
        numbers = [contexts.setdefault(t.context, len(contexts)) for t in texts]
        object.__setattr__(self, "_ranges", (shot, queries))
        object.__setattr__(self, "_members", _pools.distinct_by_domain(self.examples))
        object.__setattr__(self, "_contexts", np.array(numbers))
        object.__setattr__(
            self, "_answered", np.array([bool(t) for t in self.examples.targets])
        )
        self._check(shot[1], queries[1])

    @property
    def sizes(self) -> EpisodeSizes:
        """The largest episode; all questions have the same class."""
        (_, shot), (_, queries) = self._ranges
        return EpisodeSizes(1, shot, queries)

    def episode(self, seed: int, index: int) -> Episode:
        """Samples episode `index` of the endless list of `seed`.

        Targets are 1 for answerable questions and 0 for unanswerable ones.
        """
        rng = _pools.generator(seed, index)
        domain = _pools.uniform(rng, 0, len(self._members) - 1)
        shot, queries = (_pools.uniform(rng, *bounds) for bounds in self._ranges)
        order = rng.permutation(self._members[domain])
        support = order[:shot].copy()
        if not self._answered[support].any():
            support[-1] = order[self._answered[order]][0]
        others = ~np.isin(self._contexts[order], self._contexts[support])
        query = order[others][:queries]
        return Episode(
            classes=(),
            domain=domain if self.examples.domains else None,
            support=support,
            support_targets=self._answered[support].astype(np.int32),
            query=query,
            query_targets=self._answered[query].astype(np.int32),
        )

    def _check(self, shot: int, queries: int) -> None:
        """Checks that every possible episode has enough questions."""
        names = self.examples.domain_names or ("all",)
        for name, members in zip(names, self._members, strict=True):
            place = f"{self.examples.name}: domain {name!r}"
            if not self._answered[members].any():
                raise ValueError(
                    f"{place} has no question with an answer; leave the domain out."
                )
            _, sizes = np.unique(self._contexts[members], return_counts=True)
            # In the worst case the support set covers the largest contexts.
            least = int(np.sort(sizes)[: max(len(sizes) - shot, 0)].sum())
            if len(members) < shot or least < queries:
                raise ValueError(
                    f"{place} has {len(members)} questions about {len(sizes)} contexts;"
                    f" {shot} for the support set may leave {least} about other"
                    f" contexts, and an episode takes {queries}. Add questions, leave"
                    " the domains out, or lower shot or queries."
                )
