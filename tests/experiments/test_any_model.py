"""Each model of the README is meta-trained, and its query loss falls."""

import re
from pathlib import Path

import jax
import pytest

from tests import marks

README = Path(__file__).parents[2] / "experiments" / "any_model" / "README.md"

pytestmark = [
    pytest.mark.skipif(not README.is_file(), reason="experiments are not beside tests"),
    pytest.mark.thorough,
]

MODELS = ("A dict of arrays", "A Linen module", "An NNX module", "A BERT that adapts")


def sections():
    return re.findall(
        r"^## ([^\n]*)\n.*?```python\n(.*?)```", README.read_text(), re.M | re.S
    )


def test_there_is_a_block_for_each_kind_of_model():
    names = [name for name, _ in sections()[1:]]
    assert len(names) == len(MODELS)
    assert all(map(str.startswith, names, MODELS))


@pytest.mark.parametrize(
    "number", marks.quick(range(len(MODELS)), range(3)), ids=MODELS
)
def test_meta_training_lowers_the_query_loss(number):
    made: dict = {}
    (_, shared), *models = sections()
    exec(shared, made)
    exec(models[number][1], made)
    assert made["history"][-1] < 0.5 * made["history"][0]
    if "adapted" in made:  # Tasks share all but the low-rank factors.
        paths = made["metaflax"].tree.paths(made["adapted"]["encoder"])
        assert paths
        assert all("/lora/" in path for path in paths)
        assert jax.tree.leaves(made["adapted"]["head"])
