"""Loading of learners from a run, a directory or a pretrained model."""

import dataclasses
import functools
from pathlib import Path
from typing import NamedTuple, TypeAlias

from metaflax import config as config_lib
from metaflax.config._given import with_given
from metaflax.few_shot._feature_cache import FeatureCache
from metaflax.few_shot._settings import LearnerSettings
from metaflax.tasks._forms import ONE_SEQUENCE
from metaflax.workflows.inference._pretrained_config import without_run
from metaflax.workflows.learning._choosable_heads import (
    AUTO,
    chooses_head_by_default,
    refuse_strength,
)
from metaflax.workflows.learning._learner import Learner
from metaflax.workflows.learning._text_encoder import TextEncoder
from metaflax.workflows.runs._trained import (
    Trained,
    fitted,
    load_trained,
    load_untrained,
)

# A model's name or directory, with the path, size and modification time of each file.
Version: TypeAlias = tuple[str, frozenset[tuple[str, int, int]]]

# Numbers of cached encoders, and of cached learners on them.
MOST_ENCODERS, MOST_LEARNERS = 2, 32


class Source(NamedTuple):
    """Model in memory, shared by learners with different heads.

    Attributes:
      trained: the run, or the pretrained model.
      is_run: whether it was meta-trained.
      encoder: encoder of the model.
      features: cache of features of texts.
    """

    trained: Trained
    is_run: bool
    encoder: TextEncoder
    features: FeatureCache


def load_source(settings: LearnerSettings) -> Source:
    """Loads the encoder of some settings, or returns it from memory.

    Raises:
      ValueError: if it cannot be loaded, or does not fit the settings.
    """
    of_encoder = LearnerSettings(
        model=settings.model,
        task=settings.task,
        max_length=settings.max_length,
        batch_size=settings.batch_size,
        pair_encoding=settings.pair_encoding,
        capitals=settings.capitals,
    )
    return _load_source(of_encoder, version_of(settings.model))


def load_learner(settings: LearnerSettings) -> Learner:
    """Makes a learner of some settings, or returns it from memory.

    Raises:
      ValueError: if its model cannot be loaded, or does not fit the settings.
    """
    return _load_learner(settings, version_of(settings.model))


@functools.lru_cache(maxsize=MOST_ENCODERS)
def _load_source(settings: LearnerSettings, version: Version) -> Source:
    del version  # A key of the cache: contents of a directory may change.
    trained = _trained(settings)
    encoder = TextEncoder(
        trained.model,
        trained.params["encoder"],
        config_lib.build_task(trained.config).form,
        trained.config.data.max_length,
        settings.batch_size,
    )
    return Source(trained, is_run(settings.model), encoder, FeatureCache(encoder))


@functools.lru_cache(maxsize=MOST_LEARNERS)
def _load_learner(settings: LearnerSettings, version: Version) -> Learner:
    del version
    source, chooses_head = load_source(settings), settings.head == AUTO
    if chooses_head:
        refuse_strength(settings.strength)
        settings = dataclasses.replace(settings, head=None)
    trained, params = source.trained, source.trained.params
    if not source.is_run:
        params = {"encoder": params["encoder"]}
    config = _config(settings, source)
    return Learner(
        source.encoder,
        params,
        config,
        trained.num_classes,
        Path(settings.model).expanduser() if source.is_run else None,
        chooses_head=chooses_head or _leaves_head_open(settings, source, config),
        new_head=settings.needs_new_head,
    )


def _config(settings: LearnerSettings, source: Source) -> config_lib.Config:
    """Returns the config of a learner on an encoder that is loaded."""
    if source.is_run:
        return _with(source.trained.config, settings)
    config = _without_run(settings)
    texts = source.trained.model.fitted(config.data)
    return dataclasses.replace(config, data=texts)


def _without_run(settings: LearnerSettings) -> config_lib.Config:
    """Makes the config of a pretrained model as `metaflax adapt` does."""
    values = dataclasses.asdict(settings)
    del values["batch_size"]
    return without_run(**values)


def _leaves_head_open(
    settings: LearnerSettings, source: Source, config: config_lib.Config
) -> bool:
    """Returns whether no head is set, on a frozen pretrained encoder."""
    if source.is_run or (settings.strength, settings.temperature) != (None, None):
        return False
    return chooses_head_by_default(config.algorithm, config_lib.build_task(config))


def is_run(model: str) -> bool:
    """Returns whether a directory is that of a run."""
    return (Path(model).expanduser() / "environment.json").is_file()


def _trained(settings: LearnerSettings) -> Trained:
    """Loads a run, or a pretrained model."""
    if not is_run(settings.model):
        return fitted(load_untrained(_without_run(settings), num_classes=2))
    trained = load_trained(Path(settings.model).expanduser())
    task = trained.config.data.task
    if task != settings.task:
        raise ValueError(
            f"{settings.model} was meta-trained for {task}, and this is"
            f" {settings.task}; name a run of {settings.task}, or a pretrained model."
        )
    encoding = trained.config.model.pair_encoding or ONE_SEQUENCE
    if settings.pair_encoding not in (None, encoding):
        raise ValueError(
            f"{settings.model} was meta-trained with the pair encoding {encoding!r},"
            f" and pair_encoding is {settings.pair_encoding!r}; give that of the run."
        )
    capitals = trained.config.model.capitals
    if settings.capitals not in (None, capitals):
        raise ValueError(
            f"{settings.model} was meta-trained with capitals={capitals}, and this is"
            f" capitals={settings.capitals}; leave it out."
        )
    return fitted(trained._replace(config=_with(trained.config, settings)))


def _with(config: config_lib.Config, settings: LearnerSettings) -> config_lib.Config:
    """Returns the config of a run with the settings that are not None."""
    algorithm = with_given(
        config.algorithm,
        name=settings.algorithm,
        head=settings.head,
        strength=settings.strength,
        temperature=settings.temperature,
        adapts=settings.adapts,
        inner_learning_rate=settings.inner_learning_rate,
        num_steps=settings.num_steps,
        eval_num_steps=settings.num_steps,
        entity_typing=settings.entity_typing,
        entity_threshold=settings.entity_threshold,
    )
    longest = config.data.max_length
    texts = dataclasses.replace(
        config.data, max_length=min(settings.max_length or longest, longest)
    )
    config = dataclasses.replace(config, algorithm=algorithm, data=texts)
    config_lib.check(config)
    return config


def version_of(model: str) -> Version:
    """Returns a key that changes with the files of a local directory."""
    path = Path(model).expanduser()
    if not path.is_dir():
        return model, frozenset()
    files = [(file, file.stat()) for file in path.rglob("*") if file.is_file()]
    return str(path.absolute()), frozenset(
        (file.relative_to(path).as_posix(), status.st_size, status.st_mtime_ns)
        for file, status in files
    )
