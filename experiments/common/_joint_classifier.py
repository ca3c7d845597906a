"""Joint training of an encoder on all texts of meta-training."""

import dataclasses
from pathlib import Path

from metaflax import config as config_lib
from metaflax import workflows
from metaflax.workflows.inference._finetune import labelled, tune
from metaflax.workflows.learning._support_sets import first_seen


def joint_classifier(
    config: config_lib.Config,
    out: Path,
    *,
    epochs: int = 2,
    batch_size: int = 16,
    learning_rate: float = 5e-5,
    head_learning_rate: float = 1e-3,
) -> config_lib.ModelConfig:
    """Trains the pretrained encoder on all texts of meta-training at once.

    One output layer has the classes of all domains; classes of the same name are one.

    Args:
      config: the config of the run.
      out: the directory of the encoder; one that exists is not trained again.
      epochs: passes over the texts.
      batch_size: texts a step.
      learning_rate: largest learning rate of the encoder.
      head_learning_rate: largest learning rate of the output layer.

    Returns:
      The encoder, with pooling and encoding of pairs as in the run.

    Raises:
      ValueError: if the config makes no run.
    """
    run = workflows.load_run(config)
    if not out.exists():
        texts = run.splits.train
        names = first_seen(texts)
        trained = tune(
            run.model,
            run.model.init(None),
            labelled(texts, names, run.model, run.config, run.task.form),
            len(names),
            epochs=epochs,
            batch_size=batch_size,
            rates=(learning_rate, head_learning_rate),
            seed=config.training.seed,
            temperature=run.config.algorithm.temperature,
        )
        run.model.save(out, trained["encoder"])
    return dataclasses.replace(run.config.model, name=str(out))
