"""Episodes for extractive question answering."""

import dataclasses

import numpy as np

from metaflax.data.samplers import _domains, _pools
from metaflax.data.samplers._episodes import Episode, EpisodeSizes
from metaflax.data.sources._equal_texts import text_key
from metaflax.data.sources._examples import Examples
from metaflax.tasks._questions import Question


@dataclasses.dataclass(frozen=True)
class QuestionSampler:
    """Samples episodes of questions about contexts, each from one domain.

    A domain is drawn (if there are several), then support questions in it, uniformly
    and without replacement, then queries among the questions about other contexts, so
    that no query shares a context with the support set, up to case and white space.
    Unanswerable questions are as frequent as in the data, except that an answerable one
    replaces the last support question if all of them are unanswerable.

    Attributes:
      examples: the examples to draw from.
      shot: support questions per episode, or (least, most), drawn uniformly.
      queries: query questions per episode, or (least, most), drawn uniformly.

    Raises:
      ValueError: if a domain has no answerable question, or may have too few questions
        about other contexts.

    Examples:
      >>> from metaflax.data import Examples, QuestionSampler
      >>> from metaflax.tasks._questions import Answer, Question
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
    _by_domain: _domains.Domains = dataclasses.field(
        init=False, repr=False, compare=False
    )
    # [examples], the index of the context, and 1 where the question is answerable.
    _contexts: np.ndarray = dataclasses.field(init=False, repr=False, compare=False)
    _answered: np.ndarray = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self):
        texts = [t for t in self.examples.texts if isinstance(t, Question)]
        if self.examples.targets is None or len(texts) < len(self.examples):
            raise ValueError(
                f"{self.examples.name}: holds no questions with answers; read it with"
                " task=tasks.question_answering()."
            )
        contexts = _domains.group_numbers(text_key(text.context) for text in texts)
        answered = np.array([bool(t) for t in self.examples.targets], np.int32)
        domains = _domains.build(self.examples, self.shot, self.queries)
        object.__setattr__(self, "_by_domain", domains)
        object.__setattr__(self, "_contexts", contexts)
        object.__setattr__(self, "_answered", answered)
        _check(self.examples.name, domains, contexts, answered)

    @property
    def sizes(self) -> EpisodeSizes:
        """The largest episode; all questions have the same class."""
        return self._by_domain.sizes

    def episode(self, seed: int, index: int) -> Episode:
        """Samples episode `index` of the endless list of `seed`.

        Targets are 1 for answerable questions and 0 for unanswerable ones.
        """
        rng = _pools.generator(seed, index)
        domain = self._by_domain.draw_domain(rng)
        shot, queries = self._by_domain.draw_counts(rng)
        order = rng.permutation(self._by_domain.members[domain])
        support = order[:shot].copy()
        if not self._answered[support].any():
            support[-1] = order[self._answered[order] > 0][0]
        query = _domains.unshared(order, support, self._contexts)[:queries]
        return self._by_domain.episode(domain, support, query, self._answered)


def _check(
    source: str, domains: _domains.Domains, contexts: np.ndarray, answered: np.ndarray
) -> None:
    """Checks that every possible episode has enough questions."""
    shot, queries = domains.shot[1], domains.queries[1]
    for name, members in zip(domains.names, domains.members, strict=True):
        place = f"{source}: domain {name!r}"
        if not answered[members].any():
            raise ValueError(
                f"{place} has no question with an answer; leave the domain out."
            )
        left = _domains.min_unshared(members, contexts, shot)
        if len(members) < shot or left < queries:
            num_contexts = len(np.unique(contexts[members]))
            raise ValueError(
                f"{place} has {len(members)} questions about {num_contexts} contexts;"
                f" {shot} for the support set may leave {left} about other contexts,"
                f" and an episode takes {queries}. Add questions, leave the domains"
                " out, or lower shot or queries."
            )
