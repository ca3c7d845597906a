"""Tests for configs of mixtures: files, JSON, and invalid settings."""

import dataclasses

import pytest

from metaflax import config as config_lib
from metaflax.config import (
    AlgorithmConfig,
    DataConfig,
    EpisodeConfig,
    MixtureConfig,
    ModelConfig,
    RawTextConfig,
    ShareConfig,
    TaskMember,
    TextMember,
    TrainingConfig,
)
from metaflax.config._files import differences, to_json
from metaflax.config._mixture import pretraining_of, run_of, sampling

INTENTS = TaskMember(
    DataConfig("intents.jsonl", split_names={"train": ("a",), "valid": ("b",)}),
    EpisodeConfig(way=(2, 5)),
    AlgorithmConfig("leopard", adapts=("head",)),
)
ENTITIES = TaskMember(DataConfig("posts.jsonl", "entities"), pooling="tokens")
RAW = TextMember(RawTextConfig("raw.txt"), rows_at_once=16)
CONFIG = MixtureConfig(
    ModelConfig("bert", lora_rank=4),
    {"intents": INTENTS, "entities": ENTITIES, "raw": RAW},
    temperature=3.0,
    training=TrainingConfig(steps=9, seed=5, head_learning_rate=0.5),
)


def shared(member, **share):
    return dataclasses.replace(member, share=ShareConfig(**share))


def mixed(**members):
    return dataclasses.replace(CONFIG, members=members)


def test_json_and_back_is_the_same_mixture():
    text = to_json(CONFIG)
    assert config_lib.from_json(text, MixtureConfig) == CONFIG


@pytest.mark.parametrize("text", ["{}", '{"members": {"a": {"sorcery": 1}}}'])
def test_what_is_no_mixture_is_refused(text):
    with pytest.raises(ValueError, match="not the config of a run"):
        config_lib.from_json(text, MixtureConfig)
    whole = to_json(CONFIG).replace('"rows_at_once"', '"sorcery"')
    with pytest.raises(ValueError, match=r"nothing has the settings.*sorcery"):
        config_lib.from_json(whole, MixtureConfig)


def test_differences_name_members_and_their_settings():
    back = config_lib.from_json(to_json(CONFIG), MixtureConfig)
    assert differences(CONFIG, back) == []
    other = mixed(intents=shared(INTENTS, weight=2.0), entities=ENTITIES, raw=RAW)
    other = dataclasses.replace(other, temperature=1.0)
    assert differences(other, CONFIG) == [
        "members.intents.share.weight: 2.0, not None",
        "temperature: 1.0, not 3.0",
    ]
    fewer = mixed(intents=INTENTS)
    assert differences(fewer, CONFIG) == [
        "members: intents, not intents, entities, raw"
    ]


def test_a_file_gives_the_kind_of_config_that_is_asked_for(tmp_path):
    path = tmp_path / "mixture.py"
    path.write_text(
        "from metaflax.config import MixtureConfig\n"
        "config = MixtureConfig(temperature=2.0)\n"
    )
    assert config_lib.load_file(path, MixtureConfig).temperature == 2.0
    with pytest.raises(ValueError, match=r"no `config = metaflax.config.Config\(...\)"):
        config_lib.load_file(path)


def test_a_member_is_the_run_that_it_would_be_by_itself():
    run = run_of(CONFIG, "entities")
    assert run.model == ModelConfig("bert", lora_rank=4, pooling="tokens")
    assert (run.data, run.episodes) == (ENTITIES.data, ENTITIES.episodes)
    assert run.training == CONFIG.training
    assert run_of(CONFIG, "intents").model.pooling is None
    pretraining = pretraining_of(CONFIG, "raw")
    assert pretraining.network.model == "bert"
    assert pretraining.text == RAW.text
    loop = pretraining.training
    assert (loop.rows_at_once, loop.rows_per_step) == (16, 32)
    settings = vars(loop).keys() & vars(CONFIG.training).keys()
    assert len(settings) == 12
    for name in settings:
        assert getattr(loop, name) == getattr(CONFIG.training, name)


def test_weights_follow_sizes_unless_they_are_named():
    by_size = sampling(
        dataclasses.replace(CONFIG, temperature=2.0),
        {"intents": 400, "entities": 100, "raw": 100},
    )
    assert by_size.probabilities(0) == pytest.approx(
        {"intents": 0.5, "entities": 0.25, "raw": 0.25}
    )
    unseen = mixed(intents=INTENTS, raw=shared(RAW, weight=0.0))
    config_lib.check_mixture(unseen)
    likely = sampling(unseen, {"intents": 3, "raw": 7}).probabilities(0)
    assert likely == {"intents": 1.0, "raw": 0.0}


def test_what_makes_a_run_is_let_through():
    config_lib.check_mixture(CONFIG)
    config_lib.check_mixture(
        mixed(
            intents=shared(INTENTS, weight=1.0, ends=0.5),
            raw=shared(RAW, weight=2.0, starts=0.25, loss_weight=0.1),
        )
    )


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({}, "the mixture has no members"),
        ({"../up": INTENTS}, "member '../up': '../up' cannot name a file"),
        ({"a": shared(INTENTS, weight=-1.0)}, "the weight of 'a' is -1.0"),
        ({"a": shared(INTENTS, weight=float("nan"))}, "the weight of 'a' is nan"),
        (
            {"a": shared(INTENTS, weight=0.0), "b": shared(RAW, weight=0.0)},
            "the weights of 'a', 'b' sum to 0",
        ),
        (
            {"a": shared(INTENTS, weight=2.0), "b": RAW},
            "the weight is given of 'a' and not of the other members",
        ),
        ({"a": shared(INTENTS, loss_weight=0.0)}, "member 'a': loss_weight is 0.0"),
        ({"a": shared(INTENTS, starts=0.5, ends=0.5)}, "'a' takes part from 0.5 to"),
        ({"a": shared(INTENTS, starts=0.1)}, "no member takes part after 0 of"),
        (
            {"a": shared(INTENTS, ends=0.3), "b": shared(RAW, starts=0.4)},
            "no member takes part after 0.3 of",
        ),
        (
            {"a": dataclasses.replace(ENTITIES, pooling="mean")},
            "member 'a': pooling is 'mean' and the task type is 'entities'",
        ),
        (
            {"a": dataclasses.replace(INTENTS, pooling="pooler")},
            "member 'a': pooling is 'pooler', and 'default' that of the mixture",
        ),
        (
            {"a": TaskMember(DataConfig("d.jsonl", "dialogue"))},
            "member 'a': dialogue needs a generative model",
        ),
        (
            {"a": dataclasses.replace(RAW, rows_at_once=5)},
            "member 'a': rows_at_once is 5; give a divisor",
        ),
        (
            {"a": TextMember(RawTextConfig("raw.txt", mask_rate=0.0))},
            "member 'a': mask_rate is 0.0",
        ),
    ],
)
def test_what_makes_no_run_is_refused_in_a_sentence(members, message):
    with pytest.raises(ValueError, match=message) as error:
        config_lib.check_mixture(mixed(**members))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0.0}, "temperature is 0.0"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"model": ModelConfig(context_size=4)}, "no place for adapters and context"),
        (
            {"model": ModelConfig(pooling="pooler", standardize=False),
             "members": {"raw": RAW}},
            "member 'raw': masked language modelling does not use pooling",
        ),
        ({"training": TrainingConfig(steps=0)}, "steps is 0"),
    ],
)  # fmt: skip
def test_settings_of_the_whole_that_make_no_run_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        config_lib.check_mixture(dataclasses.replace(CONFIG, **settings))
