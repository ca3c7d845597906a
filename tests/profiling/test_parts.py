"""Tests for assigning operations to parts of a step."""

import dataclasses
import re

import jax
import pytest

from metaflax import models
from metaflax.profiling._parts import Place, place_of
from tests.models import speakers
from tests.models.examples import CONFIG, random_params, random_tokens

TASK = "jit(step)/while/body/closed_call"
INNER = f"{TASK}/transpose(jvp())/closed_call/jvp(encoder)"


@pytest.mark.parametrize(
    ("path", "part", "backward"),
    [
        (f"{TASK}/jvp(encoder)/layer_0/attention/query/query/dot", "attention", False),
        (f"{INNER}/layer_0/attention/attention.norm/norm/mul", "norm", True),
        (f"{TASK}/jvp(encoder)/embeddings/gather", "embeddings", False),
        (f"{TASK}/jvp(encoder)/layer_1/mlp/mlp.dropout/Dropout_0/lt", "dropout", False),
        (f"{TASK}/transpose(jvp(encoder))/layer_1/mlp/down/down/dot", "mlp", True),
        (f"{TASK}/jvp(encoder)/reshape", "network, rest", False),
        (f"{TASK}/jvp()/inner_update/add", "inner update", False),
        ("jit(step)/outer_optimizer/mul", "outer optimizer", False),
        (f"{TASK}/transpose(jvp(jit(log_softmax)))/neg", "head and loss", True),
        (f"{TASK}/jvp()/closed_call", "other", False),
        (f"{TASK}/add", "other", False),
        ("", "other", False),
    ],
)
def test_paths_tell_part_and_direction(path, part, backward):
    assert place_of([path]) == Place(part, backward)


def test_a_fusion_whose_own_path_says_nothing_is_what_most_of_it_is():
    mlp, norm = f"{TASK}/jvp(encoder)/mlp/add", f"{TASK}/jvp(encoder)/mlp/norm/mul"
    assert place_of([f"{TASK}/add", norm, mlp, mlp]) == Place("mlp", False)
    assert place_of([norm, mlp, mlp]) == Place("norm", False)


def parts_of(total, params, modules):
    """Checks that no operation of modules belongs to the head; returns all parts."""
    program = jax.jit(jax.grad(total)).lower(params).compile().as_text()
    paths = re.findall(r'op_name="(jit[^"]*)"', program)
    for module in modules:
        parts = {place_of([path]).part for path in paths if module in path}
        assert parts
        assert not parts & {"head and loss", "other"}
    return {place_of([path]).part for path in paths}


def test_the_operations_of_an_encoder_are_in_its_parts():
    config = dataclasses.replace(CONFIG, num_hidden_layers=1)
    model, params = models.encoder(config), random_params(config, pooler=False)

    def total(params):
        return model.apply(params, random_tokens(config), None).sum()

    found = parts_of(total, params, ("TokenEmbeddings", "PostNormLayer"))
    assert {"embeddings", "attention", "mlp", "norm"} <= found


def test_the_operations_of_a_decoder_are_in_its_parts():
    model = models.gpt(dataclasses.replace(speakers.GPT, n_layer=1))
    params, tokens = speakers.random_params(model), random_tokens()

    def total(params):
        return jax.nn.log_softmax(model.apply(params, tokens, None)).sum()

    found = parts_of(total, params, ("Embeddings", "/Layer"))
    assert {"embeddings", "attention", "mlp", "norm", "head and loss"} <= found
