"""Tests for published episodes."""

import json

import numpy as np
import pytest

from metaflax import data, tasks
from metaflax.data.samplers._episodes import EpisodeSizes


def row(name, text, label, **more):
    return {"id": name, "text": text, "label": label, **more}


def write(folder, sets, queries):
    for name, rows in (("train_episodes", sets), ("eval", queries)):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(lines)


SETS = [
    *(row(f"pets-1-0-{n}", f"{label} one", label) for n, label in enumerate("cba")),
    *(row(f"pets-2-0-{n}", f"{label} two", label) for n, label in enumerate("abcabc")),
]
QUERIES = [row(f"eval-{n}", f"{label} asked", label) for n, label in enumerate("abca")]


def test_published_sets_are_episodes_with_the_whole_evaluation_file(tmp_path):
    write(tmp_path, SETS, QUERIES)
    given, shots = data.published_sets(tmp_path)
    assert shots == (1, 2)
    assert given.sizes == EpisodeSizes(3, 6, 4)
    names, texts = given.examples.label_names, given.examples.texts
    for number, count in ((0, 3), (1, 6)):
        episode = given.episode(7, number)
        assert len(episode.support) == count
        for rows, targets in (
            (episode.support, episode.support_targets),
            (episode.query, episode.query_targets),
        ):
            labels = [names[episode.classes[t]] for t in targets]
            assert labels == [texts[n][0] for n in rows]
        assert [texts[n] for n in episode.query] == [q["text"] for q in QUERIES]


def test_evaluation_texts_in_training_sets_are_counted_and_stay(tmp_path):
    shared = [row("eval-4", " C One", "c"), row("eval-5", "a two", "a")]
    write(tmp_path, SETS, QUERIES + shared)
    given, _ = data.published_sets(tmp_path)
    assert given.sizes.num_queries == 6
    [note] = [note for note in given.examples.notes if "evaluation texts" in note]
    assert "2 of 6 evaluation texts are also in" in note
    write(tmp_path, SETS, QUERIES)
    assert "evaluation texts" not in str(data.published_sets(tmp_path)[0].examples)


def test_some_queries_are_drawn_once_for_all_sets(tmp_path):
    write(tmp_path, SETS, QUERIES)
    (first, second), again = (
        data.published_sets(tmp_path, num_queries=2)[0].episodes for _ in range(2)
    )
    assert len(first.query) == 2
    np.testing.assert_array_equal(first.query, second.query)
    assert data.protocol_hash(again) == data.protocol_hash((first, second))


def test_pairs_are_read_by_their_task_type(tmp_path):
    sets, queries = ([r | {"text_pair": "x"} for r in rows] for rows in (SETS, QUERIES))
    write(tmp_path, sets, queries)
    given, _ = data.published_sets(tmp_path, task=tasks.pair_classification())
    assert given.examples.texts[0] == ("c one", "x")


def test_an_id_that_tells_no_set_is_refused(tmp_path):
    write(tmp_path, [row("pets", "c one", "c")], QUERIES)
    with pytest.raises(ValueError, match=r"train_episodes\.jsonl.*'pets'.*NAME-SHOT"):
        data.published_sets(tmp_path)


COLUMNS = [
    {"text": f"{label} {number}", "label": label, "shot": shot, "episode": 3}
    for shot in (1, 2)
    for label in "abc"
    for number in range(shot)
]


@pytest.mark.parametrize("ids", [{}, {"id": 7}, {"id": "a-0"}, {"id": "pets-4-1-0"}])
def test_columns_name_training_sets_whatever_ids_there_are(ids, tmp_path):
    write(tmp_path, [r | ids for r in COLUMNS], [row("q", "x", "a")])
    given, shots = data.published_sets(tmp_path)
    assert shots == (1, 2)
    assert [len(episode.support) for episode in given.episodes] == [3, 6]
    assert given.examples.notes == ()


def test_evaluation_texts_need_no_ids(tmp_path):
    write(tmp_path, SETS, [{"text": "x", "label": "a"}])
    assert data.published_sets(tmp_path)[1] == (1, 2)


def test_the_shot_is_the_stated_one_where_examples_lack_and_a_note_says_so(tmp_path):
    write(tmp_path, COLUMNS[:-1], QUERIES)  # One text of c lacks at 2 shots.
    given, shots = data.published_sets(tmp_path)
    assert shots == (1, 2)
    [note] = given.examples.notes
    assert "1 of 2 training sets have other numbers of examples" in note
    write(tmp_path, COLUMNS[:-2], QUERIES)  # Class c lacks.
    given, shots = data.published_sets(tmp_path)
    assert shots == (1, 2)
    [note] = given.examples.notes
    assert "1 of 2 training sets have no example of some class" in note


@pytest.mark.parametrize("shot", [0, 1.5, "few", None])
def test_a_shot_that_is_no_number_of_examples_is_refused(shot, tmp_path):
    write(tmp_path, [*COLUMNS, COLUMNS[0] | {"shot": shot}], QUERIES)
    with pytest.raises(ValueError, match=r"train_episodes\.jsonl:10: 'shot'"):
        data.published_sets(tmp_path)


def test_labels_of_no_training_set_count_as_errors_and_are_refused_alone(tmp_path):
    write(tmp_path, SETS, [*QUERIES, row("q", "x", "C")])
    notes = str(data.published_sets(tmp_path)[0].examples.notes)
    assert "1 text has labels of no training set, 'C', and count as errors" in notes
    write(tmp_path, SETS, [row("q", "x", "C")])
    with pytest.raises(ValueError, match=r"eval\.jsonl: no training set.* 'C'; those"):
        data.published_sets(tmp_path)


@pytest.mark.parametrize("part", ["train_episodes", "eval"])
def test_texts_of_several_labels_are_refused_by_the_name_of_their_file(part, tmp_path):
    several = [row("pets-1-0-0", "both", ["a", "b"])]
    write(
        tmp_path,
        SETS + several * (part != "eval"),
        QUERIES + several * (part == "eval"),
    )
    with pytest.raises(ValueError, match=rf"{part}\.jsonl: some texts have several"):
        data.published_sets(tmp_path)


def test_more_queries_than_there_are_are_refused(tmp_path):
    write(tmp_path, SETS, QUERIES)
    with pytest.raises(ValueError, match=r"eval\.jsonl: holds 4 texts, and 5 are"):
        data.published_sets(tmp_path, num_queries=5)


def test_episodes_without_classes_have_room_for_one():
    examples = data.Examples("x", ("a", "b"), (("l",), ("l",)))
    rows = np.array([0], np.int32), np.array([1.0], np.float32)
    episode = data.Episode((), None, *rows, *rows)
    given = data.FixedEpisodes(examples, (episode,))
    assert given.sizes == EpisodeSizes(1, 1, 1)
