"""Tests for the settings of a search, and for configs written as Python files."""

import dataclasses

import numpy as np
import pytest

from metaflax import config as config_lib
from metaflax.config import Choice, Config, Integers, LogUniform, SearchConfig, Uniform
from metaflax.config._files import differences, to_json
from metaflax.config._python import to_python
from metaflax.config._search import check_search, with_settings


def searched(name, tried, **settings):
    return SearchConfig(Config(), {name: tried}, **settings)


@pytest.mark.parametrize(
    ("name", "tried"),
    [
        ("training.learning_rate", LogUniform(1e-5, 1e-3)),
        ("training.weight_decay", Uniform(0, 0.1)),
        ("training.clip_norm", Choice((None, 1.0))),
        ("training.trains", Choice((("*",), ("*", "!encoder/embeddings")))),
        ("algorithm.num_steps", Integers(1, 10)),
        ("algorithm.head", Choice((None, "prototypes", "ridge"))),
        ("algorithm.adapts", Choice((("*",), ("head",)))),
        ("algorithm.label_smoothing", Uniform(0.0, 0.2)),
        ("model.pooling", Choice(("mean", "first"))),
        ("model.lora_rank", Choice((np.int64(0), np.int64(4)))),
        ("training.tasks_per_step", Integers(1, 8)),
    ],
)
def test_what_has_the_type_of_its_setting_is_taken(name, tried):
    check_search(searched(name, tried))


@pytest.mark.parametrize(
    ("name", "tried", "message"),
    [
        ("training.learning_rat", Uniform(0, 1), "similar ones are .*learning_rat"),
        ("learning_rate", Uniform(0, 1), "similar ones are .*training.learning_rate"),
        ("zzz", Uniform(0, 1), "no setting 'zzz'.$"),
        ("training.learning_rate", Uniform(-1, 1), "cannot be -1.0; give 0 or more"),
        ("training.learning_rate", LogUniform(0, 1), "LogUniform begins above 0"),
        ("training.learning_rate", Uniform(2, 1), "a lower end below a higher"),
        ("training.learning_rate", Uniform(0, float("nan")), "a lower end below"),
        ("training.learning_rate", Choice((0.1, "a")), "cannot be 'a'.* float"),
        ("training.learning_rate", (0.1, 0.2), "give Uniform, LogUniform"),
        ("algorithm.num_steps", Uniform(1, 5), "cannot be 1.0.* int"),
        ("algorithm.num_steps", Integers(0, 5), "cannot be 0; give 1 or more"),
        ("algorithm.num_steps", Integers(1, 2.5), "between whole numbers"),
        ("algorithm.head", Choice(("prototypes",)), "two or more"),
        ("algorithm.head", Choice(("prototypes", "rigde")), "unknown head 'rigde'"),
        ("algorithm.name", Choice(("maml", "frozen")), "frozen is a baseline"),
        ("algorithm.label_smoothing", Uniform(0, 2), "cannot be 2.0; give 0 to 1"),
        ("training.dropout", Choice((True, 1.5)), "cannot be 1.5.* bool"),
        ("training.steps", Choice((5, True)), "cannot be True.* int"),
        ("model.pooling", Choice(("mean", "tokens")), "take pooling 'tokens'"),
        ("episodes.way", Choice((2, 5)), "changes what is measured"),
        ("training.seed", Integers(0, 5), "changes what is measured"),
        ("data.label", Choice(("a", "b")), "changes what is measured"),
        ("evaluation.test_episodes", Integers(1, 5), "changes what is measured"),
    ],
)
def test_what_makes_no_search_is_refused_with_advice(name, tried, message):
    with pytest.raises(ValueError, match=message):
        check_search(searched(name, tried))


def test_a_search_of_nothing_or_never_is_refused():
    with pytest.raises(ValueError, match="the space of the search is empty"):
        check_search(SearchConfig(Config(), {}))
    tried = Uniform(0, 1)
    with pytest.raises(ValueError, match="trials is 0; give 1 or more"):
        check_search(searched("training.learning_rate", tried, trials=0))


def test_settings_are_changed_by_dotted_names_and_no_others():
    base = Config()
    changed = with_settings(
        base, {"training.steps": 3, "training.warmup": 0.5, "algorithm.head": "ridge"}
    )
    assert sorted(differences(changed, base)) == [
        "algorithm.head: 'ridge', not None",
        "training.steps: 3, not 500",
        "training.warmup: 0.5, not 0.1",
    ]


def test_a_config_as_a_python_or_a_json_file_is_read_as_it_was(tmp_path):
    config = dataclasses.replace(
        Config(),
        data=config_lib.DataConfig(
            path="a 'quoted' name.jsonl", split_names={"train": ("a",), "test": ("b",)}
        ),
        algorithm=config_lib.AlgorithmConfig(
            adapts=("head",), inner_learning_rate=1 / 3
        ),
        training=config_lib.TrainingConfig(patience=None, task_loop="vmap"),
    )
    for name, text in (
        ("best.py", to_python(config)),
        ("best.json", to_json(config)),
    ):
        (tmp_path / name).write_text(text, encoding="utf-8")
        assert config_lib.load_file(tmp_path / name) == config


def test_a_file_without_a_search_says_what_it_should_define(tmp_path):
    path = tmp_path / "config.py"
    path.write_text(to_python(Config()))
    with pytest.raises(ValueError, match=r"no `config = metaflax.config.SearchConfig"):
        config_lib.load_file(path, SearchConfig)
