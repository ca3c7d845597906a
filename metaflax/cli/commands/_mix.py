"""The command `mix`."""

import dataclasses
from pathlib import Path
from typing import ClassVar, Literal

from rich.console import Console

from metaflax import config as config_lib
from metaflax import recipes, workflows
from metaflax.cli.commands._machines import Machines
from metaflax.config._given import with_given


@dataclasses.dataclass(frozen=True)
class Mix:
    """Meta-train one encoder on several task types and masked language modelling."""

    EXAMPLES: ClassVar = (
        "metaflax mix --config experiments/smlmt/mixture.py --run-dir runs/mixture",
        "metaflax mix --recipe general --data my_folder --run-dir runs/general",
    )
    PAGE: ClassVar = "howto/mixtures"

    config: Path | None = None
    """Python file that defines `config = metaflax.config.MixtureConfig(...)`, such as
    experiments/smlmt/mixture.py."""
    recipe: str | None = None
    """Recipe that composes the mixture from a folder of data: general, or an import
    path `package.module:attribute` of a function of a folder."""
    data: Path | None = None
    """Folder of the recipe's data, such as experiments/leopard/prepare.py writes."""
    model: str | None = None
    """Encoder to start from: a name such as minilm or mpnet, a directory or a Hugging
    Face hub name (default: that of the config or recipe)."""
    dtype: Literal["float32", "bfloat16"] | None = None
    """Type of activations; parameters are float32 (default: that of the config or
    recipe)."""
    steps: int | None = None
    """Number of outer steps (default: that of the config or recipe)."""
    learning_rate: float | None = None
    """Peak learning rate of the outer optimizer (default: that of the config or
    recipe)."""
    interpolate: tuple[float, ...] | None = None
    """Candidate shares of the way from initial to trained weights; validation selects
    one (default: those of the config or recipe)."""
    eval_every: int | None = None
    """Outer steps between validations (default: that of the config or recipe)."""
    valid_episodes: int | None = None
    """Episodes per validation of a member (default: that of the config or recipe)."""
    test_episodes: int | None = None
    """Number of test episodes of a member (default: that of the config or recipe)."""
    seed: int | None = None
    """Seed of training: episodes, order of members, new parameters, masks and dropout
    (default: that of the config or recipe)."""
    run_dir: Path = Path("runs/mixture")
    """Directory of the run, with the encoder in its folder `model` and a run directory
    per member in `members/NAME`; the same command again resumes it."""
    machines: Machines = dataclasses.field(default_factory=Machines)

    def execute(self, console: Console) -> None:
        """Meta-trains on the mixture and meta-tests each member."""
        workflows.mix(
            self._settings(),
            self.run_dir,
            self.machines.initialize(console),
            param_shards=self.machines.num_param_shards,
        )

    def _settings(self) -> config_lib.MixtureConfig:
        if (self.config is None) == (self.recipe is None):
            raise ValueError("a mixture is a --config or a --recipe; give one of them.")
        if (self.recipe is None) != (self.data is None):
            raise ValueError(
                "--data is the folder of a recipe's data; give --recipe and --data"
                " together."
            )
        if self.config is not None:
            config = config_lib.load_file(self.config, config_lib.MixtureConfig)
        else:
            assert self.recipe is not None
            assert self.data is not None
            config = recipes.build(self.recipe, self.data)
        model, training, evaluation = config.model, config.training, config.evaluation
        return dataclasses.replace(
            config,
            model=with_given(model, name=self.model, dtype=self.dtype),
            training=with_given(
                training,
                steps=self.steps,
                learning_rate=self.learning_rate,
                interpolate=self.interpolate,
                eval_every=self.eval_every,
                valid_episodes=self.valid_episodes,
                seed=self.seed,
            ),
            evaluation=with_given(evaluation, test_episodes=self.test_episodes),
        )
