"""Episodes for multiple choice."""

import dataclasses
from typing import Any

import numpy as np

from metaflax.data.samplers import _domains, _pools
from metaflax.data.samplers._episodes import Episode, EpisodeSizes
from metaflax.data.sources._equal_texts import text_key
from metaflax.data.sources._examples import Examples


@dataclasses.dataclass(frozen=True)
class ChoiceSampler:
    """Samples episodes of questions with choices, each from one domain.

    A domain is drawn, then support questions in it, uniformly and without replacement,
    then queries among the questions that do not have the choices of a support question,
    in whatever order: such twins often have opposite answers.

    Attributes:
      examples: the examples to draw from.
      shot: support questions per episode, or (least, most), drawn uniformly.
      queries: query questions per episode, or (least, most), drawn uniformly.

    Raises:
      ValueError: if the examples have no choices, or a domain has too few of them.
    """

    examples: Examples
    shot: _pools.Count
    queries: _pools.Count
    _by_domain: _domains.Domains = dataclasses.field(
        init=False, repr=False, compare=False
    )
    # [examples], equal for twins, and the gold choices.
    _groups: np.ndarray = dataclasses.field(init=False, repr=False, compare=False)
    _gold: np.ndarray = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self):
        name, texts = self.examples.name, self.examples.texts
        if not all(hasattr(text, "choices") for text in texts):
            raise ValueError(
                f"{name}: holds no questions with choices; read it with"
                " task=tasks.multiple_choice()."
            )
        domains = _domains.build(self.examples, self.shot, self.queries)
        keys = (frozenset(map(text_key, choices_of(text))) for text in texts)
        object.__setattr__(self, "_by_domain", domains)
        object.__setattr__(self, "_groups", _domains.group_numbers(keys))
        object.__setattr__(self, "_gold", np.array(self.examples.targets, np.int32))
        shot, queries = domains.shot[1], domains.queries[1]
        for domain, members in zip(domains.names, domains.members, strict=True):
            left = _domains.min_unshared(members, self._groups, shot)
            if len(members) < shot or left < queries:
                raise ValueError(
                    f"{name}: domain {domain!r} has {len(members)} questions; {shot}"
                    f" for the support set may leave {left} with other choices, and an"
                    f" episode takes {queries}. Add questions, leave the domain out, or"
                    " lower shot or queries."
                )

    @property
    def sizes(self) -> EpisodeSizes:
        """The largest episode, and the largest number of choices."""
        most = max(len(choices_of(text)) for text in self.examples.texts)
        return self._by_domain.sizes._replace(num_classes=most)

    def episode(self, seed: int, index: int) -> Episode:
        """Samples episode `index` of the endless list of `seed`."""
        rng = _pools.generator(seed, index)
        domain = self._by_domain.draw_domain(rng)
        shot, queries = self._by_domain.draw_counts(rng)
        order = rng.permutation(self._by_domain.members[domain])
        support = order[:shot]
        query = _domains.unshared(order, support, self._groups)[:queries]
        return self._by_domain.episode(domain, support, query, self._gold)


def choices_of(text: Any) -> tuple[str, ...]:
    """Returns the choices of a question."""
    return text.choices
