"""Tests of all task types of encoders, from meta-training to `predict`.

Each run trains on a made-up language: the target of a text depends on words that an
untrained network does not distinguish from filler.
"""

import functools
import itertools
import json

import numpy as np
import pytest
from scipy import stats

from metaflax import cli, metrics, models, tasks, workflows
from metaflax.tasks._mentions import Mention
from metaflax.workflows.runs._encoder_scorers import TokenScorer
from tests import marks
from tests.workflows import worlds


def pair_rows(count=20, seed=0):
    """The class is a word of the second text; the first has words of other classes."""
    rng = np.random.default_rng(seed)
    rows = []
    for topic in worlds.TOPICS:
        for second in worlds.texts([topic], count, rng):
            [first] = worlds.texts([rng.choice(worlds.TOPICS)], 1, rng)
            rows.append({"text": first, "text_pair": second, "label": topic})
    return rows


def number_rows(count=60, seed=0):
    """The number is the count of the domain's word, among words of other domains."""
    rng = np.random.default_rng(seed)
    rows = []
    for topic in worlds.TOPICS:
        for _ in range(count):
            number = int(rng.integers(6))
            others = rng.choice([t for t in worlds.TOPICS if t != topic], 3)
            words = [topic] * number + [*others, *rng.choice(worlds.FILLER, 5)]
            text = " ".join(rng.permutation(words))
            rows.append({"text": text, "domain": topic, "score": float(number)})
    return rows


def relation_rows(count=20, seed=0):
    """A word tells the relation of two others; ranges are of words, as in FewRel."""
    rng = np.random.default_rng(seed)
    rows = []
    for topic in worlds.TOPICS:
        for text in worlds.texts([topic], count, rng, longest=4):
            words = text.split()
            filler = [i for i, word in enumerate(words) if word in worlds.FILLER]
            head, tail = rng.choice(filler, 2, replace=False).tolist()
            spans = {"head": [[head, head + 1]], "tail": [[tail, tail + 1]]}
            entities = {name: {"spans": ranges} for name, ranges in spans.items()}
            rows.append({"tokens": words, "label": topic, **entities})
    return rows


def entity_rows(count=20, seed=0):
    """Words of a topic are entities of its type, some of them two words long."""
    rng = np.random.default_rng(seed)
    rows = []
    for topic in worlds.TOPICS:
        for number in range(count):
            words = rng.choice(worlds.FILLER, rng.integers(4, 9)).tolist()
            length = 1 + number % 2
            place = int(rng.integers(len(words) - length))
            words[place : place + length] = [topic] * length
            tags = ["O"] * len(words)
            tags[place : place + length] = [f"B-{topic}", f"I-{topic}"][:length]
            rows.append({"tokens": words, "tags": tags})
    return rows


def question_rows(count=25, seed=0):
    """The word of the domain is the answer, once or twice; some contexts lack it."""
    rng = np.random.default_rng(seed)
    rows = []
    for topic in worlds.TOPICS:
        for number in range(count):
            words = rng.choice(worlds.FILLER, rng.integers(6, 12)).tolist()
            place = int(rng.integers(len(words)))
            said = [topic] * int(rng.integers(1, 3)) if number % 5 else []
            first = len(" ".join([*words[:place], ""]))
            answer = {"text": " ".join(said), "start": first}
            rows.append(
                {
                    "question": " ".join(rng.choice(worlds.FILLER, 3)),
                    "context": " ".join([*words[:place], *said, *words[place:]]),
                    "answers": [answer] if said else [],
                    "domain": topic,
                }
            )
    return rows


KINDS = {
    "pair_classification": (pair_rows, {}),
    "regression": (
        number_rows,
        {
            "label": "score",
            "domain": "domain",
            "split_by": "domain",
            "algorithm": "ridge",
            "shot": 12,
            "queries": 16,
        },
    ),
    "entities": (
        entity_rows,
        {"pooling": "tokens", "label": "tags", "shot": 1, "steps": 40, "way": 2},
    ),
    "question_answering": (
        question_rows,
        {
            "domain": "domain",
            "split_by": "domain",
            "pooling": "tokens",
            "algorithm": "anil",
            "inner_learning_rate": 1.0,
            "steps": 20,
            "eval_every": 10,
            "shot": 8,
            "queries": 8,
        },
    ),
    "relations": (
        relation_rows,
        {"pooling": "entities", "train_way": 6, "tasks_per_step": 2, "steps": 100},
    ),
}
every = pytest.mark.parametrize(
    "kind",
    marks.quick(KINDS, ["pair_classification", "entities"]),
)


@pytest.fixture(scope="module")
def runs(world, tmp_path_factory):
    """A meta-trained run of each task type."""
    folder = tmp_path_factory.mktemp("understanding")
    bert = worlds.save_bert(
        folder / "bert", vocabulary=(*worlds.VOCABULARY, *worlds.MARKERS)
    )
    made = {}

    def run(kind, **more):
        name = "-".join([kind, *more])
        if name not in made:
            rows, options = KINDS[kind]
            data = worlds.write_jsonl(folder / f"{kind}.jsonl", rows())
            made[name] = folder / name
            settings = {
                "task": kind,
                "model": bert,
                "steps": 60,
                "eval_every": 20,
                "valid_episodes": 20,
                "test_episodes": 40,
                "tasks_per_step": 4,
                "learning_rate": 1e-2,
            }
            worlds.run(
                *world.train_args(made[name], data=data, **(settings | options | more))
            )
        return made[name]

    return run


def risen(run_dir, metric):
    """Lower bound of the increase of a metric."""
    results = json.loads((run_dir / "results.json").read_text())
    difference = results["paired_difference_from_before"]["after"][metric]
    return difference["mean"] - difference["half_width"]


def metric_of(kind):
    others = {"regression": "pearson", "entities": "f1", "question_answering": "f1"}
    return others.get(kind, "accuracy")


@every
def test_meta_training_raises_the_metric_on_unseen_classes(kind, runs):
    assert risen(runs(kind), metric_of(kind)) > 0.05


@pytest.mark.slow
def test_meta_training_learns_what_is_none_of_the_relations(runs):
    run_dir = runs("relations", none_rate=0.25, way=2, train_way=4)
    assert risen(run_dir, "accuracy") > 0.05
    results = json.loads((run_dir / "results.json").read_text())
    # Before training, "none" is never predicted.
    assert results["intervals"]["before"]["none_recall"]["mean"] == 0
    assert min(risen(run_dir, f"none_{m}") for m in ("precision", "recall")) > 0.1
    assert results["report"][tasks.relations(none=True).others[0]]["support"] == 40 * 2


def exported(run_dir):
    """The folder of the episode that `adapted_and_answered` exports."""
    return run_dir / "exported.episode1"


@functools.cache
def adapted_and_answered(run_dir):
    """An episode's line of scores, its queries, and the output of `predict`.

    The adapted model is in the folder `model` of the exported episode.
    """
    worlds.run("evaluate", run_dir, "--name", "exported", "--export-episodes", 1)
    scores = worlds.read_jsonl(run_dir / "exported.episodes.jsonl")[1]
    folder = exported(run_dir)
    model, out = folder / "model", folder / "out.jsonl"
    support, query = folder / "support.jsonl", folder / "query.jsonl"
    worlds.run("adapt", "--support", support, "--out", model, "--run", run_dir)
    worlds.run("predict", "--model", model, "--texts", query, "--out", out)
    return scores["after"], worlds.read_jsonl(query), worlds.read_jsonl(out)


def spans_of(entities):
    return [(entity["start"], entity["end"], entity["type"]) for entity in entities]


@every
def test_adapt_and_predict_repeat_the_score_of_an_exported_episode(kind, runs):
    scores, query, answers = adapted_and_answered(runs(kind))
    roles = ("text", "text_pair", "tokens", "question", "context")
    read = [{k: a[k] for k in q if k in roles} for q, a in
            zip(query, answers, strict=True)]  # fmt: skip
    assert read == [{k: q[k] for k in r} for q, r in zip(query, read, strict=True)]
    if kind == "regression":
        said = [answer["score"] for answer in answers]
        found = stats.pearsonr(said, [row["score"] for row in query]).statistic
    elif kind == "entities":
        found = metrics.entity_scores(
            [spans_of(answer["entities"]) for answer in answers],
            [spans_of(row["tags"]) for row in query],
        )["f1"]
    elif kind == "question_answering":
        right = [[true["text"] for true in row["answers"]] for row in query]
        said = [answer["answer"] for answer in answers]
        found = np.mean(list(map(metrics.token_f1, said, right)))
    else:
        pairs = zip(answers, query, strict=True)
        found = np.mean([a["label"] == q["label"] for a, q in pairs])
    assert found == pytest.approx(scores[metric_of(kind)], abs=1e-3)


@pytest.mark.thorough
def test_encoding_each_question_once_changes_no_score(runs, monkeypatch):
    run_dir = runs("question_answering")
    scores = []
    for most in (0, 2**30):
        monkeypatch.setattr(TokenScorer, "max_feature_bytes", most)
        worlds.run("evaluate", run_dir, "--name", "again", "--test-episodes", 11)
        scores.append(worlds.read_jsonl(run_dir / "again.episodes.jsonl"))
    for anew, kept in zip(*scores, strict=True):
        for method in ("before", "after"):
            assert anew[method] == pytest.approx(kept[method], rel=1e-4)


@pytest.mark.slow
def test_none_of_the_relations_is_answered_too(runs):
    run_dir = runs("relations", none_rate=0.25, way=2, train_way=4)
    scores, query, answers = adapted_and_answered(run_dir)
    right = [a["label"] == q["label"] for a, q in zip(answers, query, strict=True)]
    assert np.mean(right) == pytest.approx(scores["accuracy"], abs=1e-6)
    [none] = tasks.relations(none=True).others
    assert sum(row["label"] == none for row in query) == 2
    assert all(none in answer["probabilities"] for answer in answers)
    assert [answer["head"] for answer in answers] == [row["head"] for row in query]


@pytest.mark.parametrize(
    "kind",
    marks.quick(["pair_classification", "relations"], ["pair_classification"]),
)
def test_answers_of_pairs_and_relations_are_columns_too(kind, runs, capsys):
    adapted_and_answered(runs(kind))
    folder = exported(runs(kind))
    args = ("--model", folder / "model", "--format", "csv")
    capsys.readouterr()
    worlds.run("predict", *args, "--texts", folder / "query.jsonl")
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.startswith("text,")
    assert ",label,p(" in header
    assert len(lines) == 9


@pytest.mark.slow
def test_hugging_face_loads_a_regression(runs):
    torch = pytest.importorskip("torch")
    import transformers

    _, query, answers = adapted_and_answered(runs("regression"))
    model = exported(runs("regression")) / "model"
    auto = transformers.AutoModelForSequenceClassification
    theirs = auto.from_pretrained(model).eval()
    assert theirs.config.problem_type == "regression"
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    texts = [row["text"] for row in query]
    with torch.no_grad():
        said = theirs(**tokenizer(texts, padding=True, return_tensors="pt")).logits
    ours = [answer["score"] for answer in answers]
    np.testing.assert_allclose(said.numpy()[:, 0], ours, atol=1e-4)
    assert models.load(model).task == "regression"


@pytest.fixture
def refused(capsys):
    def run(*args):
        capsys.readouterr()
        assert cli.main([str(arg) for arg in args]) == 2
        return capsys.readouterr().err

    return run


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("pair_classification", {"text_pair": " "}, "'text_pair' is an empty text"),
        pytest.param(
            "regression",
            {"score": "much"},
            "'score' holds 'much' where a number",
            marks=pytest.mark.thorough,
        ),
        pytest.param(
            "regression",
            {"score": None},
            "'score' holds None where a number",
            marks=pytest.mark.thorough,
        ),
        ("entities", {"tags": ["O"]}, "words and 1 tags; give a tag a word"),
        ("entities", {"tokens": "a"}, "'tokens' is to be a list of words"),
        ("question_answering", {"answers": "a"}, "'answers'"),
        (
            "question_answering",
            {"answers": [{"text": "not there", "start": 0}]},
            "'answers'",
        ),
        pytest.param(
            "relations",
            {"head": {"spans": [[0, 99]]}},
            "[0, 99], outside of a text",
            marks=pytest.mark.thorough,
        ),
        pytest.param(
            "relations",
            {"tail": {"spans": []}},
            "a range [start, end] is expected",
            marks=pytest.mark.thorough,
        ),
    ],
)
def test_a_bad_row_of_a_support_file_is_named(
    kind, changes, message, runs, tmp_path, refused
):
    rows = KINDS[kind][0](count=2)[:3]
    rows[1] = {**rows[1], **changes}
    support = worlds.write_jsonl(tmp_path / "support.jsonl", rows)
    args = ("--support", support, "--out", tmp_path / "out", "--run", runs(kind))
    error = refused("adapt", *args)
    assert "support.jsonl:2" in error
    assert message in error
    assert not (tmp_path / "out").exists()


def test_lines_cannot_hold_pairs(runs, tmp_path, refused):
    adapted_and_answered(runs("pair_classification"))
    (tmp_path / "lines.txt").write_text("topic00\n")
    model = exported(runs("pair_classification")) / "model"
    args = ("--model", model, "--texts", tmp_path / "lines.txt")
    assert "the inputs of this model are text and text_pair" in refused(
        "predict", *args
    )


@pytest.mark.thorough
def test_entities_lost_to_truncation_are_reported(runs, tmp_path, capsys):
    rows = relation_rows(count=2)[:4]
    long = {"tokens": [*rows[0]["tokens"], *["filler00"] * 60], "label": "topic00"}
    end = len(long["tokens"])
    long |= {"head": {"spans": [[0, 1]]}, "tail": {"spans": [[end - 1, end]]}}
    support = worlds.write_jsonl(tmp_path / "support.jsonl", [*rows, long])
    out = ("--out", tmp_path / "out", "--run", runs("relations"))
    worlds.run("adapt", "--support", support, *out)
    said = " ".join(capsys.readouterr().out.split())
    assert f"1 truncated to {worlds.POSITIONS} tokens, an entity lost in 1" in said
    worlds.run("predict", "--model", tmp_path / "out", "--texts", support)
    captured = capsys.readouterr()
    assert "1 of 5 texts were truncated" in captured.err
    assert len(captured.out.splitlines()) == 5


@pytest.mark.thorough
def test_numbers_are_not_fine_tuned_as_classes(runs, tmp_path, refused):
    rows = worlds.write_jsonl(tmp_path / "rows.jsonl", number_rows(count=1)[:2])
    files = ("--run", runs("regression"), "--train", rows, "--test", rows)
    assert "finetune needs classes, and this run's targets are numbers" in refused(
        "finetune", *files
    )


@pytest.mark.thorough
def test_entities_and_relations_chain_into_triples(runs, tmp_path):
    models = {}
    for kind in ("entities", "relations"):
        adapted_and_answered(runs(kind))
        models[kind] = exported(runs(kind)) / "model"
    query = exported(runs("entities")) / "query.jsonl"
    # Two sentences in one, so that there is something to relate.
    rows = worlds.read_jsonl(query)
    joined = [{"text": f"{a['text']} {b['text']}"} for a in rows for b in rows]
    texts, out = worlds.write_jsonl(tmp_path / "texts.jsonl", joined), tmp_path / "out"
    chained = ("--model", models["entities"], "--relations", models["relations"])
    worlds.run("predict", *chained, "--texts", texts, "--out", out)
    answers = worlds.read_jsonl(out)
    found = [(answer, triple) for answer in answers for triple in answer["triples"]]
    assert found
    related = workflows.Predictor(models["relations"])
    for answer, triple in found[:5]:
        assert triple["head"] != triple["tail"]
        assert {triple["head"]["start"], triple["tail"]["start"]} <= {
            entity["start"] for entity in answer["entities"]
        }
        spans = [(triple[e]["start"], triple[e]["end"]) for e in ("head", "tail")]
        [said] = related([Mention(answer["text"], *spans)])
        assert said["label"] == triple["relation"]
        score = said["probabilities"][said["label"]]
        assert triple["score"] == pytest.approx(score, abs=1e-4)
        assert score >= 0.5
    scores = [triple["score"] for triple in answers[0]["triples"]]
    assert scores == sorted(scores, reverse=True)
    # With threshold 0 every pair is a triple, in its more probable direction.
    [answer] = [a for a in answers if len(a["entities"]) > 1][:1]
    spans = [(entity["start"], entity["end"]) for entity in answer["entities"]]
    probable = 0
    for first, second in itertools.combinations(spans, 2):
        pairs = [(first, second), (second, first)]
        said = related([Mention(answer["text"], *pair) for pair in pairs])
        probable += max(max(s["probabilities"].values()) for s in said) >= 0.5
    assert len(answer["triples"]) == probable


@pytest.mark.thorough
def test_triples_want_entities_first_and_relations_second(runs, refused):
    adapted_and_answered(runs("relations"))
    model = exported(runs("relations")) / "model"
    error = refused("predict", "--model", model, "--relations", model)
    assert "takes a mention as input and is not for the task type entities" in error


@pytest.mark.parametrize("kind", ["entities", "question_answering"])
def test_predictions_of_tokens_need_the_pooling_tokens(kind, world, tmp_path, refused):
    args = world.train_args(tmp_path / "run", task=kind, pooling="mean")
    assert "task types with targets of tokens, such as entities" in refused(*args)


def test_not_every_task_has_queries_of_no_class(world, tmp_path, refused):
    args = world.train_args(tmp_path / "run", none_rate=0.5)
    said = "has no queries of none of the classes"
    assert said in refused(*args)
