"""Tests for which part of a step an operation belongs to."""

import pytest

from metaflax.profiling._parts import Place, place_of

TASK = "jit(step)/while/body/closed_call"
INNER = f"{TASK}/transpose(jvp())/closed_call/jvp(Bert)"


@pytest.mark.parametrize(
    ("path", "part", "backward"),
    [
        (f"{TASK}/jvp(Bert)/layer_0/attention/query/query/dot", "attention", False),
        (f"{INNER}/layer_0/attention/attention.norm/norm/mul", "norm", True),
        (f"{TASK}/jvp(Bert)/embeddings/gather", "embeddings", False),
        (f"{TASK}/jvp(Bert)/layer_1/mlp/mlp.dropout/Dropout_0/lt", "dropout", False),
        (f"{TASK}/transpose(jvp(Bert))/layer_1/mlp/down/down/dot", "mlp", True),
        (f"{TASK}/jvp(Bert)/reshape", "encoder, rest", False),
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
    mlp, norm = f"{TASK}/jvp(Bert)/mlp/add", f"{TASK}/jvp(Bert)/mlp/norm/mul"
    assert place_of([f"{TASK}/add", norm, mlp, mlp]) == Place("mlp", False)
    assert place_of([norm, mlp, mlp]) == Place("norm", False)
