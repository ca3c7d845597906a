"""The command `evaluate`."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

import tyro
from rich.console import Console

from metaflax import workflows
from metaflax.cli._options import Overrides
from metaflax.config._given import with_given
from metaflax.models.generation._decoding import DecodingConfig


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Meta-test a run again: other shots, more episodes, baselines, curves.

    A test episode is a small task of unseen classes: a support set to learn them from,
    and queries to score.
    """

    EXAMPLES: ClassVar = (
        "metaflax evaluate runs/intents --shot 1 --baselines frozen fine_tuning",
        "metaflax evaluate runs/intents --curve-shots 1 2 5 10 --name curve",
    )
    PAGE: ClassVar = "howto/evaluate"

    run: tyro.conf.Positional[Path]
    """Run directory of `train` or `quickstart`."""
    way: int | None = None
    """Number of classes per test episode (default: the run's)."""
    shot: int | None = None
    """Number of support examples per class (default: the run's)."""
    queries: int | None = None
    """Number of query examples per class (default: the run's)."""
    test_episodes: int | None = None
    """Number of test episodes (default: the run's)."""
    test_seed: int | None = None
    """Seed for sampling test episodes (default: the run's)."""
    name: str = "evaluation"
    """Name of the result files in the run directory."""
    baselines: tuple[str, ...] = ()
    """Baselines to score on the same episodes: frozen, fine_tuning."""
    inner_optimizer: str | None = None
    """Inner optimizer of the baseline fine_tuning (default: the run's)."""
    inner_learning_rate: float | None = None
    """Inner learning rate of the baseline fine_tuning (default: the run's)."""
    num_steps: int | None = None
    """Number of inner steps of the baseline fine_tuning (default: the run's)."""
    export_episodes: tuple[int, ...] = ()
    """Indices of test episodes to write as support.jsonl and query.jsonl."""
    out_of_scope: Path | None = None
    """File of out-of-scope texts, to score how well queries are separated from them."""
    curve_shots: tuple[int, ...] = ()
    """Numbers of support examples per class for a curve of scores over shots."""
    curve_inner_steps: tuple[int, ...] = ()
    """Numbers of inner steps for a curve of scores over adaptation."""
    decoding: Annotated[Mapping[str, Any], Overrides(DecodingConfig, "the run's")] = (
        dataclasses.field(default_factory=dict)
    )

    def execute(self, console: Console) -> None:
        """Scores the run on test episodes."""
        config = workflows.RunDirectory(self.run).config()
        workflows.evaluate(
            self.run,
            console,
            name=self.name,
            episodes=self._override(config.episodes, "way", "shot", "queries"),
            evaluation=dataclasses.replace(
                self._override(config.evaluation, "test_episodes", "test_seed"),
                **self.decoding,
            ),
            baselines=self.baselines,
            baseline=dataclasses.replace(
                self._override(
                    config.algorithm,
                    *("inner_optimizer", "inner_learning_rate", "num_steps"),
                ),
                eval_num_steps=None,
            ),
            export=self.export_episodes,
            out_of_scope=self.out_of_scope,
            shots=self.curve_shots,
            inner_steps=self.curve_inner_steps,
        )

    def _override(self, settings: Any, *names: str) -> Any:
        """Replaces the settings whose option is not None."""
        return with_given(settings, **{name: getattr(self, name) for name in names})
