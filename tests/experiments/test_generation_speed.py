"""Tests that the speed of generation is measured on the same texts, in miniature."""

import pytest

from tests.experiments import scripts

pytestmark = scripts.marks
NETWORKS = ["GPT-2, 1 x 64", "encoder-decoder, 1 x 64"]


@pytest.fixture(scope="module")
def script():
    pytest.importorskip("torch")
    return scripts.load("generation", "speed")


@pytest.fixture(scope="module")
def setting(script):
    return script.Setting(
        sizes=((1, 64),),
        texts=2,
        prompt=4,
        new=5,
        vocabulary=23,
        beams=2,
        rounds=1,
        lengths=(64, 192),
    )


@pytest.fixture(scope="module")
def cases(script, setting):
    return list(script.cases(setting))


@pytest.mark.slow
def test_both_say_the_same_and_either_takes_time(script, setting, cases):
    rows = [row for case in cases for row in script.speed(setting, case)]
    assert [row["network"] for row in rows[::2]] == NETWORKS
    assert [row["search"] for row in rows[:2]] == ["greedy", "2 beams"]
    for row in rows:
        assert row["same_texts"] == 1
        ours, theirs = (row["seconds"][name][0] for name in ("metaflax", "torch"))
        assert row["ratio"] == theirs / ours
        assert row["tokens_per_second"]["metaflax"] == 2 * 5 / ours
    assert len(script.speed_table(rows).splitlines()) == 2 + len(rows)


def test_memory_grows_as_the_cache_does(script, setting, cases):
    rows = [row for case in cases for row in script.memory(setting, case)]
    # A layer's keys and values, 64 numbers of 4 bytes each.
    assert rows[1]["cache"] - rows[0]["cache"] == 2 * 128 * 2 * 64 * 4
    for first, last in (rows[:2], rows[2:]):
        assert 0.95 < script.growth([first, last]) < 1.1
    assert script.memory_table(rows).splitlines()[-1].startswith(f"| {NETWORKS[1]} |")
