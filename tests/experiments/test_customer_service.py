"""Tests of exchanges, customers and ranks by hand, and of a run in miniature."""

import dataclasses
import io
import json

import numpy as np
import pytest
from rich.console import Console

from metaflax import config as config_lib
from metaflax import data, metrics
from tests.experiments import scripts
from tests.workflows import worlds

pytestmark = scripts.marks


@pytest.fixture
def script(tmp_path, monkeypatch):
    monkeypatch.setenv("METAFLAX_DATA", str(tmp_path / "data"))
    return scripts.load("customer_service")


def dialogue(name, domain, *texts):
    turns = [
        {"speaker": ("user", "system")[n % 2], "text": text}
        for n, text in enumerate(texts)
    ]
    return {"id": name, "domain": domain, "turns": turns}


def test_an_exchange_is_the_last_turns_and_the_reply_of_which_there_is_one(script):
    dialogues = [
        dialogue("one", "trains", "hello", "where to ?", "rome", "when ?"),
        dialogue("two", "trains", "a ticket", "where to ?", "pisa", "pisa"),
        dialogue("three", "buses", "a bus", "where to ?"),
    ]
    found = list(script.replies.prepare.exchanges(iter(dialogues), 1))
    assert found == [
        ("one", "trains", "hello", "where to ?"),
        ("one", "trains", "rome", "when ?"),
        ("three", "buses", "a bus", "where to ?"),
    ]
    longer = list(script.replies.prepare.exchanges(iter(dialogues), 3))
    assert longer[1][2] == "rome where to ? hello"


def test_customers_are_asked_what_none_of_their_intents_is(script):
    examples = data.Examples(
        "six",
        tuple(f"{name} {n}" for name in "abcdef" for n in range(4)),
        tuple((name,) for name in "abcdef" for _ in range(4)),
    )
    config = config_lib.Config(
        episodes=config_lib.EpisodeConfig(way=3, shot=2, queries=2)
    )
    sizes = script.intents.Sizes(customers=2, outside=2)
    found = script.intents.customers(config, examples, ["x", "y", "z"], 0, sizes)
    assert found.examples.label_names[:6] == examples.label_names
    for episode in found.episodes:
        assert episode.query_targets.tolist() == [0, 0, 1, 1, 2, 2, -1, -1]
        asked = [found.examples.texts[row] for row in episode.query]
        assert set(asked[6:]) < {"x", "y", "z"}
        assert len(set(asked)) == 8


def test_scores_in_scope_are_told_from_others(script):
    targets = np.array([0, 1, 1, -1, -1], np.int32)
    rows = np.arange(5, dtype=np.int32)
    episode = data.Episode((0, 1), None, rows[:2], targets[:2], rows, targets)
    episodes = data.FixedEpisodes(None, (episode,))
    logits = np.array([[[4.0, 1], [1, 3], [2, 1], [2.5, 2], [0, 0]]])
    assert script.intents.accuracy(episodes, logits) == pytest.approx(2 / 3)
    scores = script.intents.SCOPE_SCORES["the largest logit"](logits)
    # Of six pairs only (third question, first of none) is in the wrong order.
    areas = script.intents.by_customer(episodes, scores, metrics.auroc)
    assert areas == pytest.approx(5 / 6)


def test_the_right_reply_is_ranked_behind_those_that_score_alike(script):
    rows = np.arange(3, dtype=np.int32)
    episode = data.Episode((0, 1, 2), None, rows, rows, rows, rows)
    logits = np.array([[[2.0, 1, 0, 9], [1, 1, 0, 9], [2, 1, 0, 9]]])
    ranks = script.replies.retrieval.ranks_of(
        data.FixedEpisodes(None, (episode,)), logits
    )
    assert ranks.tolist() == [1, 2, 3]


def test_a_question_and_an_answer_come_once_and_small_topics_are_one(script):
    dialogues = [
        dialogue("one", "trivia", "who ?", "nobody", "why ?"),
        dialogue("two", "trivia", "Who ?", "somebody"),  # Asked before.
        dialogue("three", "trivia", "how many ?", "six"),
        dialogue("four", "trivia", "what is 2 x 3 ?", "six"),  # Answered so before.
        dialogue("five", "health", "how are you ?", "well"),
        dialogue("six", "money", "how are you ?", "rich"),
        dialogue("seven", "money", "who ?", "nobody"),  # Of another topic's.
    ]
    small = script.replies.prepare.SMALL
    found = list(script.replies.prepare.questions(dialogues, 3))
    assert found == [
        ("one", small, "who ?", "nobody"),
        ("three", small, "how many ?", "six"),
        ("five", small, "how are you ?", "well"),
    ]
    found = list(script.replies.prepare.questions(dialogues, 2))
    assert found == [
        ("one", "trivia", "who ?", "nobody"),
        ("three", "trivia", "how many ?", "six"),
        ("six", "money", "how are you ?", "rich"),
        ("seven", "money", "who ?", "nobody"),
        ("five", small, "how are you ?", "well"),
    ]


def replies_to(said, *replies):
    """A query with candidate replies, of which the first is the gold reply."""
    texts = (said, *replies)
    examples = data.Examples("few", texts, tuple((text,) for text in texts))
    numbers = np.arange(len(replies), dtype=np.int32)
    zero = np.zeros(1, np.int32)
    episode = data.Episode(
        tuple(numbers.tolist()), None, numbers + 1, numbers, zero, zero
    )
    return data.FixedEpisodes(examples, (episode,))


def test_bm25_is_its_formula(script):
    given = replies_to("red red fox", "red dog", "red red red cat", "green cow")
    [found] = script.replies.words.bm25(given, script.replies.words.Bm25(1.2, 0.75))
    # The word red is in two of three replies, of two and of four words, mean 8 / 3.
    rare = np.log(1 + (3 - 2 + 0.5) / (2 + 0.5))
    once = 2.2 / (1 + 1.2 * (0.25 + 0.75 * 2 / (8 / 3)))
    thrice = 3 * 2.2 / (3 + 1.2 * (0.25 + 0.75 * 4 / (8 / 3)))
    # Twice in the query; fox is in no reply.
    np.testing.assert_allclose(found, [[2 * rare * once, 2 * rare * thrice, 0]])


def test_bm25_is_chosen_by_the_ranks_that_it_gives(script):
    # Without regard to length both replies score alike, and the right one comes last.
    given = replies_to("red", "red dog", "red cat and cow")
    assert script.replies.words.select_bm25(given).b > 0


def write_data(folder):
    """Intents that a word identifies, questions without one, and dialogues."""
    (folder / "clinc150").mkdir(parents=True)
    (folder / "sgd_dialogue").mkdir()
    (folder / "chatterbot_corpus").mkdir()
    intents = [f"intent{i:02}" for i in range(54)]
    worlds.write_jsonl(
        folder / "clinc150" / "examples.jsonl", worlds.records(intents, count=8)
    )
    fold = {"train": intents[:42], "valid": intents[42:48], "test": intents[48:]}
    (folder / "clinc150" / "folds.json").write_text(json.dumps({"01": fold}))
    rng = np.random.default_rng(0)
    rows = [
        {"text": f"{text} {n}", "orig_split": ("train", "test")[n % 2]}
        for n, text in enumerate(worlds.texts([], 12, rng))
    ]
    worlds.write_jsonl(folder / "clinc150" / "oos.jsonl", rows)
    domains = ("Banks", "Travel", "Trains")
    texts = [f"{text} {n}" for n, text in enumerate(worlds.texts([], 60, rng))]
    rows = [
        dialogue(f"{domain}-{n}", domain, *texts[4 * n : 4 * n + 4])
        for domain in domains
        for n in range(15)
    ]
    worlds.write_jsonl(folder / "sgd_dialogue" / "dialogues.jsonl", rows)
    topics = ["trivia"] * 9 + ["history"] * 9 + ["food", "money"] * 4
    rows = [
        dialogue(f"q{n}", topic, *texts[2 * n : 2 * n + 2])
        for n, topic in enumerate(topics)
    ]
    worlds.write_jsonl(folder / "chatterbot_corpus" / "dialogues.jsonl", rows)
    split = dict(zip(("train", "valid", "test"), ([d] for d in domains), strict=True))
    (folder / "sgd_dialogue" / "splits.json").write_text(json.dumps(split))


@pytest.mark.slow
def test_customer_service_runs_in_miniature(script, tmp_path, monkeypatch):
    folder, runs = tmp_path / "data", tmp_path / "runs"
    write_data(folder)
    config = config_lib.load_file(
        scripts.EXPERIMENTS / "customer_service" / "config.py"
    )
    bert = worlds.save_bert(tmp_path / "bert")
    config = dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, name=str(bert)),
        episodes=config_lib.EpisodeConfig(
            way=3, shot=2, queries=2, train_way=6, train_shot=1, train_queries=1
        ),
        training=dataclasses.replace(
            config.training, steps=2, eval_every=2, valid_episodes=2
        ),
        evaluation=dataclasses.replace(
            config.evaluation, test_episodes=2, batch_episodes=2
        ),
    )
    monkeypatch.setattr(script.replies, "MOST_TOKENS", worlds.POSITIONS)
    sizes = script.intents.Sizes(customers=3, outside=4)
    console = Console(file=io.StringIO(), width=200)
    with worlds.apart(tmp_path):
        script.intents.intents(config, folder, runs, console, sizes)
        script.latency.latency(config, runs, console, 5)
        for turns in script.replies.TURNS:
            chosen = script.replies.replies(config, folder, runs, console, turns)
        script.questions.questions(config, folder, runs, console, chosen, 9)
        script.picture.plot(runs)
    found = json.loads((runs / "intents.json").read_text())
    assert set(found) == {"class means", "logistic regression", script.intents.OURS}
    assert 0 <= found[script.intents.OURS]["AUROC"]["mean"] <= 1
    latencies = json.loads((runs / "latency.json").read_text())
    assert 0 < latencies["p50_ms"] <= latencies["p99_ms"]
    methods = {"TF-IDF", "BM25", "frozen", script.intents.OURS}
    service = script.questions.SERVICE
    for name, count, most, seen in (
        ("replies3", 30, 30, methods),
        ("questions", 18, 9, methods | {service}),
    ):
        ranks = json.loads((runs / f"{name}.json").read_text())["ranks"]
        assert set(ranks) == seen
        assert all(len(r) == count for r in ranks.values())
        assert all(1 <= min(r) <= max(r) <= most for r in ranks.values())
    names = json.loads((runs / "questions" / "trivia" / "config.json").read_text())
    assert names["data"]["split_names"] == {
        "train": ["history"],
        "valid": [script.replies.prepare.SMALL],
        "test": ["trivia"],
    }
    table = script.replies.reply_table(runs).splitlines()
    assert [line.split(" | ")[0] for line in table[2:10]] == ["| 1"] * 4 + ["| 3"] * 4
    table = script.questions.question_table(runs).splitlines()
    assert [line.split(" | ")[0] for line in table[2:]] == [
        f"| {name}" for name in ("all", "history", "trivia") for _ in range(5)
    ]
    assert (runs / "result.png").stat().st_size > 10_000
