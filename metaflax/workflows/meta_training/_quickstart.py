"""Few-shot sentiment classification on texts that come with the package."""

from pathlib import Path
from typing import Any

from rich.console import Console

from metaflax import config as config_lib
from metaflax.workflows.meta_training._train import train

# Steps that fit into five minutes; each costs eight times the operations of MiniLM.
STEPS = 6


def quickstart_config(
    model: str | None = None, steps: int | None = None
) -> config_lib.Config:
    """Returns a config that trains on tweets and film reviews and tests on products.

    Args:
      model: name or directory of an encoder; None for all-mpnet-base-v2.
      steps: number of meta-training steps; None for 6.

    Examples:
      >>> from metaflax import workflows
      >>> settings = workflows.quickstart_config()
      >>> settings.model.name, settings.data.split_names["test"], settings.episodes.way
      ('mpnet', ('products',), 2)
    """
    steps = STEPS if steps is None else steps
    return config_lib.Config(
        model=config_lib.ModelConfig(name=model or "mpnet"),
        data=config_lib.DataConfig(
            path="scored-texts",
            domain="domain",
            split_by="domain",
            split_names={
                "train": ("tweets", "films"),
                "valid": ("editorials",),
                "test": ("products",),
            },
            max_length=48,
        ),
        episodes=config_lib.EpisodeConfig(
            way=2, shot=5, queries=10, train_shot=5, train_queries=5
        ),
        training=config_lib.TrainingConfig(
            steps=steps,
            tasks_per_step=4,
            learning_rate=1e-4,
            trains=("*", "!encoder/embeddings"),
            dropout=False,
            eval_every=max(3, steps // 4),
            valid_episodes=max(20, steps),
            patience=None,
        ),
        evaluation=config_lib.EvaluationConfig(test_episodes=100),
    )


def quickstart(
    run_dir: str | Path, console: Console | None = None, model: str | None = None
) -> dict[str, Any]:
    """Trains with `quickstart_config`.

    Args:
      run_dir: directory of the run.
      console: where progress and tables are printed; None to print nothing.
      model: name or directory of an encoder; None for all-mpnet-base-v2.

    Returns:
      The content of `results.json`.

    Raises:
      ValueError: if model or texts cannot be downloaded, or the model is no encoder.

    Examples:
      >>> import tempfile
      >>> from metaflax import workflows
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     workflows.quickstart(f"{folder}/run", model=f"{folder}/absent")
      Traceback (most recent call last):
        ...
      ValueError: there is no directory .../absent; check the path.
    """
    return train(quickstart_config(model), run_dir, console)
