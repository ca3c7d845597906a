"""Tests that few padded shapes hold all batches with minimal work."""

import itertools

import hypothesis
import hypothesis.strategies as st

from metaflax.data.batching._few_shapes import Shape, few_shapes

LENGTHS = (32, 64, 128)


@st.composite
def sizes(draw):
    num_rows, length = draw(st.integers(1, 90)), draw(st.integers(1, 128))
    num_tokens = draw(st.integers(max(length, num_rows), num_rows * length + length))
    return Shape(num_rows, length, min(num_tokens, num_rows * length))


def holds(shape, size):
    return all(room >= need for room, need in zip(shape, size, strict=True))


@hypothesis.given(st.lists(sizes(), min_size=1, max_size=40), st.integers(1, 4))
def test_at_most_so_many_shapes_hold_all_sizes(sizes, most):
    shapes = few_shapes(sizes, LENGTHS, most=most, compilation=0)
    assert len({*shapes}) <= most
    for shape, size in zip(shapes, sizes, strict=True):
        assert holds(shape, size), (shape, size)
        assert shape.length in LENGTHS


@hypothesis.given(
    st.lists(sizes(), min_size=1, max_size=6), st.integers(1, 3), st.integers(0, 5000)
)
def test_no_division_by_work_costs_less(sizes, most, compilation):
    def cost(shapes):
        return sum(s.work for s in shapes) + compilation * len({*shapes})

    rounded = sorted(
        (size.rounded(LENGTHS) for size in sizes), key=lambda s: (s.work, s)
    )
    costs = []
    for num in range(min(most, len(sizes))):
        for ends in itertools.combinations(range(1, len(sizes)), num):
            shapes = []
            for first, last in itertools.pairwise((0, *ends, len(sizes))):
                part = rounded[first:last]
                shapes += [Shape(*map(max, zip(*part, strict=True)))] * len(part)
            costs.append(cost(shapes))
    found = few_shapes(sizes, LENGTHS, most=most, compilation=compilation)
    assert cost(found) <= min(costs) + 1e-6


def test_a_shape_is_added_where_it_saves_more_than_its_compilation():
    sizes = [Shape(8, 20, 100)] * 4 + [Shape(32, 20, 400)]
    options = {"lengths": (32,), "most": 4}
    assert len({*few_shapes(sizes, **options, compilation=1700)}) == 1
    assert len({*few_shapes(sizes, **options, compilation=1500)}) == 2


def test_shots_and_numbers_of_tokens_of_other_tasks_round_to_the_same_shape():
    first, second = Shape(24, 60, 1300), Shape(24, 50, 1390)
    assert first.rounded(LENGTHS) == second.rounded(LENGTHS) == (24, 64, 1408)
