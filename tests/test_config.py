"""Tests for configs: JSON, differences, files, and construction by name."""

import dataclasses
import json
import os
import typing

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaflax import base, models
from metaflax import config as config_lib
from metaflax.algorithms._table import ALGORITHMS
from metaflax.config._factories import build_algorithm
from metaflax.config._files import differences, to_json
from metaflax.config._pretraining import check_pretraining
from metaflax.config._unused import unused_notes
from metaflax.heads._table import HEADS
from metaflax.models.layers._stack import LayerLoop, Remat
from metaflax.tasks._questions import Question
from metaflax.tasks._token_level import TokenOutputs

OTHER = {str: "other", bool: True, int: 7, float: 0.75}


def changed(value, annotation):
    """Another value of a setting, of its type."""
    options = typing.get_args(annotation)
    if typing.get_origin(annotation) is typing.Literal:
        return next(option for option in options if option != value)
    if annotation == config_lib.Count or annotation == config_lib.Count | None:
        return (2, 7)
    if isinstance(value, bool):
        return not value
    if isinstance(value, str) and int in options:  # Number of tasks at once.
        return 7
    if isinstance(value, tuple):
        return (*value, value[0] if value else OTHER[options[0]])
    if isinstance(value, (int, float)):
        return value + 1
    if value is None:
        kind = next(option for option in options if option is not type(None))
        if typing.get_origin(kind) is typing.Literal:
            return typing.get_args(kind)[0]
        if typing.get_origin(kind) is not None:  # The names of a split.
            return {"train": ("a", "b"), "valid": ("c",), "test": ("d",)}
        return OTHER[kind]
    return f"{value}, changed"


def groups_changed(group):
    hints = typing.get_type_hints(type(group))
    return type(group)(**{n: changed(v, hints[n]) for n, v in vars(group).items()})


DEFAULT = config_lib.Config()
CHANGED = config_lib.Config(
    **{name: groups_changed(group) for name, group in vars(DEFAULT).items()}
)
NUM_SETTINGS = sum(len(vars(group)) for group in vars(DEFAULT).values())


@pytest.mark.parametrize("config", [DEFAULT, CHANGED])
def test_json_and_back_is_the_same_config(config):
    assert config_lib.from_json(to_json(config)) == config


def test_differences_name_every_changed_setting_and_nothing_else():
    assert len(differences(DEFAULT, CHANGED)) == NUM_SETTINGS
    assert differences(CHANGED, CHANGED) == []
    back = config_lib.from_json(to_json(CHANGED))
    assert differences(back, CHANGED) == []
    longer = dataclasses.replace(
        DEFAULT, training=dataclasses.replace(DEFAULT.training, steps=7)
    )
    expected = ["training.steps: 7, not 500"]
    assert differences(longer, DEFAULT) == expected


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", "[" * 100_000, '{"model": {"sorcery": 1}}', '{"model": 3}'],
)
def test_what_is_no_config_is_refused(text):
    with pytest.raises(ValueError, match="not the config of a run"):
        config_lib.from_json(text)


@pytest.mark.parametrize(
    ("group", "name", "value", "message"),
    [
        ("training", "steps", "many", r"training\.steps is 'many', which is no int"),
        ("training", "steps", 10**400, r"training\.steps is 10+, which is no int"),
        ("training", "dropout", 1, r"training\.dropout is 1, which is no bool"),
        ("training", "task_loop", "half", r"training\.task_loop is 'half'"),
        ("training", "interpolate", ["a"], r"training\.interpolate is \('a',\)"),
        (
            "episodes",
            "way",
            [1, 2, 3],
            r"episodes\.way is \(1, 2, 3\), which is no int",
        ),
        ("data", "split_names", {"train": "a"}, r"data\.split_names is \{'train': 'a'"),
        ("model", "name", None, r"model\.name is None, which is no str"),
        ("model", "pair_encoding", "x", r"model\.pair_.* no 'one_sequence' \| 'two_"),
    ],
)
def test_values_of_other_types_are_refused_by_name(
    group, name, value, message, tmp_path
):
    content = json.loads(to_json(DEFAULT))
    content[group][name] = value
    with pytest.raises(ValueError, match=f"not the config of a run: {message}"):
        config_lib.from_json(json.dumps(content))
    path = tmp_path / "config.py"
    path.write_text(
        "from metaflax.config import *\n"
        f"config = Config({group}={type(getattr(DEFAULT, group)).__name__}("
        f"{name}={config_lib._files._tuples(value)!r}))"
    )
    with pytest.raises(ValueError, match=rf"config\.py: {message}"):
        config_lib.load_file(path)


def test_numbers_and_lists_of_other_libraries_are_values_too(tmp_path):
    path = tmp_path / "settings.txt"  # Whatever its name ends in.
    path.write_text(
        "import numpy as np\n"
        "from metaflax.config import *\n"
        "config = Config(training=TrainingConfig(\n"
        "    steps=np.int64(3), learning_rate=np.float32(1), interpolate=[0.5, 1]))\n"
    )
    assert config_lib.load_file(path).training.steps == 3


def test_a_config_file_that_has_just_changed_is_read_as_it_is(tmp_path):
    path = tmp_path / "config.py"
    for steps in (3, 4):  # The same size, within the same second.
        path.write_text(
            "from metaflax.config import *\n"
            f"config = Config(training=TrainingConfig(steps={steps}))\n"
        )
        os.utime(path, (1, 1))
        assert config_lib.load_file(path).training.steps == steps
    assert [path.name for path in tmp_path.iterdir()] == ["config.py"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no config file"),
        ("other = 3\n", "defines no `config"),
        ("config = 3\n", "defines no `config"),
        ("config = (\n", "cannot be run: SyntaxError"),
        ("import no_such_package\n", "cannot be run: ModuleNotFoundError"),
        ("1 / 0\n", "cannot be run: ZeroDivisionError"),
    ],
)
def test_a_config_file_that_holds_none_says_so_in_a_sentence(
    content, message, tmp_path
):
    path = tmp_path / "config.py"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=message) as error:
        config_lib.load_file(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_config_file_gives_its_config(tmp_path):
    path = tmp_path / "config.py"
    path.write_text(
        "from metaflax.config import Config, EpisodeConfig\n"
        "config = Config(episodes=EpisodeConfig(way=(2, 4)))\n"
    )
    expected = config_lib.Config(episodes=config_lib.EpisodeConfig(way=(2, 4)))
    assert config_lib.load_file(path) == expected


def test_training_episodes_are_those_of_the_test_except_where_they_differ():
    sizes = config_lib.EpisodeConfig(way=5, shot=1, queries=9, train_way=(2, 8))
    training = sizes.training()
    assert (training.way, training.shot, training.queries) == ((2, 8), 1, 9)


BERT = models.BertConfig(
    vocab_size=8,
    hidden_size=8,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=8,
    max_position_embeddings=8,
)


def build(task="classification", add=lambda params, key: params, **settings):
    encoder = models.encoder(BERT)
    config = config_lib.Config(
        data=config_lib.DataConfig(task=task),
        algorithm=config_lib.AlgorithmConfig(**settings),
    )
    return build_algorithm(
        config.algorithm,
        encoder,
        lambda key: add(encoder.init(key), key),
        config_lib.build_task(config),
        4,
    )


# In-context algorithms are tested in test_in_context.py.
ON_TEXTS = [name for name, spec in ALGORITHMS.items() if not spec.in_context]
NEEDS = {"imaml": {"num_steps": 50}, "warpgrad": {"add": models.with_adapters}}


@pytest.mark.parametrize("name", ON_TEXTS)
def test_every_algorithm_is_built_from_its_name(name):
    algorithm = build(name=name, **NEEDS.get(name, {}))
    params = jax.eval_shape(algorithm.init, jax.random.key(0))
    assert set(params) >= {"encoder", "head"}
    learned = "kernel" in params["head"]
    assert learned == (ALGORITHMS[name].default_head == "linear")


def test_micro_batches_change_no_answer():
    found = []
    for size in (None, 2):
        algorithm = build(name="maml", micro_batch_size=size, num_steps=1)
        params = algorithm.init(jax.random.key(0))
        found.append(jax.jit(algorithm.loss)(params, an_episode()))
    chex.assert_trees_all_close(*found, rtol=1e-5)
    with pytest.raises(ValueError, match="one example at least, got size=0"):
        build(name="maml", micro_batch_size=0)


@pytest.mark.parametrize("name", ON_TEXTS)
def test_several_labels_are_served_or_refused_by_name_of_the_head(name):
    head = ALGORITHMS[name].default_head
    if head in ("linear", "prototypes"):
        build("multilabel_classification", name=name, **NEEDS.get(name, {}))
    else:
        with pytest.raises(ValueError, match=f"the head '{head}' serves targets"):
            build("multilabel_classification", name=name)


@pytest.mark.parametrize("name", ON_TEXTS)
def test_numbers_are_served_or_refused_by_name_of_the_head(name):
    head = ALGORITHMS[name].default_head
    if head in ("linear", "prototypes", "ridge"):
        build("regression", name=name, **NEEDS.get(name, {}))
    else:
        with pytest.raises(ValueError, match=f"the head '{head}' serves targets"):
            build("regression", name=name)


@pytest.mark.parametrize("name", HEADS)
def test_every_head_is_built_from_its_name(name):
    tasks = {
        "detected_prototypes": "entities",
        "label_prototypes": "multilabel_classification",
        "linear_regression": "regression",
        "ridge_regression": "regression",
        "span": "question_answering",
        "identity": "translation",
        "linear_choice": "multiple_choice",
        "ridge_choice": "multiple_choice",
    }
    task = tasks.get(name, "classification")
    algorithm = build(task, name="frozen", head=name)
    assert "head" in jax.eval_shape(algorithm.init, jax.random.key(0))


OTHERS = {
    "temperature": 2.0,
    "strength": 3.0,
    "adapts": ("head",),
    "inner_optimizer": "adam",
    "inner_learning_rate": 0.1,
    "num_steps": 60,
    "proximal": 2.0,
}


def notes_of(task="classification", **settings):
    config = config_lib.Config(
        data=config_lib.DataConfig(task=task),
        algorithm=config_lib.AlgorithmConfig(**settings),
    )
    return unused_notes(config, models.encoder(BERT), lambda key: None)


@pytest.mark.parametrize("name", ["frozen", "ridge", "proto_maml", "meta_sgd", "imaml"])
def test_settings_are_said_to_have_no_effect_if_they_change_no_program(name):
    given = {"name": name, **NEEDS.get(name, {})}
    assert notes_of(name=name, **NEEDS.get(name, {})) == []

    def program(**changed):
        algorithm = build(**{**given, **changed})
        support = an_episode().support
        return str(
            jax.make_jaxpr(lambda key: algorithm.adapt(algorithm.init(key), support))(
                jax.random.key(0)
            )
        )

    plain = program()
    unchanged = {k for k, v in OTHERS.items() if program(**{k: v}) == plain}
    noted = {k for k, v in OTHERS.items() if notes_of(**{**given, k: v})}
    assert noted == unchanged != set()


def test_settings_that_a_task_type_does_not_read_are_said_to_have_no_effect():
    assert notes_of(label_smoothing=0.1, class_weights="balanced") == []
    [note] = notes_of("regression", label_smoothing=0.1)
    assert note.startswith("label_smoothing is 0.1, which has no effect")
    assert "with the head ridge_regression" in note  # That of numbers.


@pytest.mark.parametrize("rate", [0.0, 0.2])
def test_a_rate_of_none_adds_its_answer_to_relations(rate):
    config = config_lib.Config(
        data=config_lib.DataConfig(task="relations"),
        episodes=config_lib.EpisodeConfig(none_rate=rate),
        algorithm=config_lib.AlgorithmConfig(none_logit=2.0),
    )
    config_lib.check(config)
    assert config.episodes.training().none_rate == rate
    task, encoder = config_lib.build_task(config), models.encoder(BERT)
    algorithm = build_algorithm(config.algorithm, encoder, encoder.init, task, 4)
    head = jax.eval_shape(algorithm.init, jax.random.key(0))["head"]
    assert ("none" in head) == bool(rate) == bool(task.others)


@pytest.mark.parametrize(("threshold", "expected"), [(0.0, ""), (1.0, "Ada")])
def test_a_threshold_decides_when_a_question_has_no_answer(threshold, expected):
    config = config_lib.Config(
        data=config_lib.DataConfig(task="question_answering"),
        algorithm=config_lib.AlgorithmConfig(null_threshold=threshold),
    )
    spans = np.array([[-1, -1], [0, 3]], np.int32)
    logits = np.array([[[0.5, 0.5], [0.0, 0.0]]])
    read = TokenOutputs([Question("Who?", "Ada")], [0], [spans], logits)
    [answer] = config_lib.build_task(config).decode(read, ())
    assert answer["answer"] == expected


def test_only_relations_have_a_rate_of_none():
    config = config_lib.Config(episodes=config_lib.EpisodeConfig(none_rate=0.5))
    with pytest.raises(
        ValueError,
        match="none_rate is 0.5, and the task type .* has no queries of none",
    ):
        config_lib.check(config)


def an_episode():
    tokens = models.Tokens(*(jnp.ones((3, 4), int) for _ in range(3)))
    batch = base.Batch(tokens, jnp.array([0, 1, 1]), jnp.ones(3))
    return base.Task(batch, batch)


@pytest.mark.parametrize("inner_optimizer", ["sgd", "adam"])
def test_learned_rates_begin_as_the_one_rate_and_have_a_gradient(inner_optimizer):
    fixed, learned = (
        build(
            name="fomaml",
            inner_optimizer=inner_optimizer,
            inner_learning_rate=0.01,
            learned_rates=per,
            num_steps=2,
        )
        for per in (None, "tensor")
    )
    params = learned.init(jax.random.key(0))
    (value, _), grads = jax.jit(jax.value_and_grad(learned.loss, has_aux=True))(
        params, an_episode()
    )
    rates = params.pop("inner")
    assert {float(rate) for rate in jax.tree.leaves(rates)} == {np.float32(0.01)}
    expected, _ = jax.jit(fixed.loss)(params, an_episode())
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    # Only parameters that affect the loss: a key's bias does not change softmax.
    assert float(grads["inner"]["encoder"]["embeddings"]["word"]) != 0
    assert float(grads["inner"]["head"]["bias"]) != 0


@pytest.mark.parametrize("name", ["reptile", "protonet", "meta_sgd"])
def test_learned_rates_are_refused_by_what_has_no_use_for_them(name):
    with pytest.raises(ValueError, match=f"'tensor', which {name} does not use"):
        build(name=name, learned_rates="tensor")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "sorcery"}, "unknown algorithm 'sorcery'; known: maml, fomaml"),
        ({"head": "sorcery"}, "unknown head 'sorcery'; known: linear, prototypes"),
        ({"name": "maml", "inner_optimizer": "sorcery"}, "no optimizer 'sorcery'"),
    ],
)
def test_unknown_names_are_answered_with_the_known_ones(settings, message):
    with pytest.raises(ValueError, match=message):
        build(**settings)


@pytest.mark.parametrize("name", ["losses", "chain", "apply_updates", "scale", "lbfgs"])
@pytest.mark.parametrize("setting", ["inner", "outer"])
def test_what_is_no_optimizer_makes_no_run(setting, name):
    settings = {
        "inner": {"algorithm": config_lib.AlgorithmConfig(inner_optimizer=name)},
        "outer": {"training": config_lib.TrainingConfig(optimizer=name)},
    }
    with pytest.raises(ValueError, match=f"optimizer '{name}'.* take adamw, adam, sgd"):
        config_lib.check(config_lib.Config(**settings[setting]))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((n, v) for n in ("learning_rate", "head_learning_rate") for v in (0.0, -1.0)),
        *(("hyper_learning_rate", v) for v in (float("nan"), float("inf"))),
        *(("warmup", v) for v in (-0.1, 1.5, float("nan"))),
        *(("clip_norm", v) for v in (0.0, -1.0, float("nan"))),
        *(("weight_decay", v) for v in (-0.1, float("inf"))),
    ],
)
def test_numbers_that_train_nothing_are_refused_by_name(name, value):
    training = config_lib.TrainingConfig(**{name: value})
    with pytest.raises(ValueError, match=f"{name} is {value}; give a"):
        config_lib.check(config_lib.Config(training=training))
    if hasattr(config_lib.LoopConfig, name):
        loop = config_lib.LoopConfig(**{name: value})
        with pytest.raises(ValueError, match=f"{name} is {value}; give a"):
            check_pretraining(config_lib.PretrainConfig(training=loop))


@pytest.mark.parametrize("rate", [0.0, -0.1, float("nan"), float("inf")])
def test_an_inner_rate_is_positive_and_finite(rate):
    algorithm = config_lib.AlgorithmConfig(inner_learning_rate=rate)
    with pytest.raises(ValueError, match=f"inner_learning_rate is {rate}; give a"):
        config_lib.check(config_lib.Config(algorithm=algorithm))


@pytest.mark.parametrize(
    ("setting", "known"),
    [
        ("pooling", models.Pooling | None),
        ("layer_loop", LayerLoop),
        ("remat", Remat),
    ],
)
def test_an_encoder_takes_every_choice_that_a_config_offers(setting, known):
    assert typing.get_type_hints(config_lib.ModelConfig)[setting] == known


def fraction_of_ones(outputs, targets, weights):
    del outputs
    return jnp.sum(weights * (targets == 1)) / jnp.sum(weights)


@pytest.mark.parametrize(
    ("selected", "expected"),
    [
        (None, ("accuracy",)),
        ("accuracy", ("accuracy",)),
        (f"{__name__}:fraction_of_ones", ("fraction_of_ones", "accuracy")),
    ],
)
def test_a_metric_is_selected_by_name_or_import_path(selected, expected):
    training = config_lib.TrainingConfig(select_by=selected)
    task = config_lib.build_task(config_lib.Config(training=training))
    assert task.scores == expected


def test_an_unknown_metric_is_refused_with_those_there_are():
    training = config_lib.TrainingConfig(select_by="sorcery")
    with pytest.raises(ValueError, match="unknown metric 'sorcery'.*known: accuracy"):
        config_lib.build_task(config_lib.Config(training=training))


def test_the_former_setting_of_tensorboard_is_a_log_sink():
    with pytest.warns(FutureWarning, match=r"training.log_sinks"):
        training = config_lib.TrainingConfig(tensorboard=True)
    assert training == config_lib.TrainingConfig(log_sinks=("tensorboard",))
