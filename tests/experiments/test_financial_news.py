"""Tests of control charts of news, and of the whole experiment in miniature.

The chart is checked against its recursion by hand, and on streams with exact scores,
for its rate of false alarms and the detection of planted surges.
"""

import dataclasses
import io
import json

import jax
import numpy as np
import pytest
from rich.console import Console

from metaflax import config as config_lib
from metaflax import data, evaluation, models
from tests.experiments import scripts
from tests.workflows import worlds

pytestmark = scripts.marks

LABELS = ("negative", "neutral", "positive")


@pytest.fixture(scope="module")
def script():
    return scripts.load("financial_news")


def test_the_statistic_adds_up_excess_and_begins_anew_after_an_alarm(script):
    excess = np.array([0.0, 1.5, 2.5, -1.0, 4.0])
    statistic, alarms = script.stream.watch.cusum(excess, 2.9)
    np.testing.assert_allclose(statistic, [0.0, 1.0, 3.0, 0.0, 3.5])
    assert alarms.tolist() == [False, False, True, False, True]


def test_delays_count_from_the_first_day_of_a_surge_on(script):
    alarms = np.array(
        [
            [True, False, True, False],  # An alarm before it counts for nothing.
            [False, False, False, True],
            [True, False, False, False],  # Missed: all of its days and one more.
        ]
    )
    assert script.stream.watch.delays(alarms, 2).tolist() == [1, 2, 3]


def streams(script, rng, **surge):
    """Streams of 1,000 sentences of which 100 are negative."""
    negative = np.arange(1000) < 100
    days = script.stream.watch.draw_days(
        negative,
        np.arange(1000),
        rng,
        num_streams=40,
        num_days=100,
        news_a_day=20.0,
        **surge,
    )
    return negative.astype(float), days


def test_streams_have_the_usual_share_and_a_surge_multiplies_it(script):
    scores, days = streams(script, np.random.default_rng(0), surge_from=60, surge=3.0)
    assert len(days.rows) == days.counts.sum()
    shares = days.sums(scores).sum(axis=0) / days.counts.sum(axis=0)  # [D]
    assert shares[:60].mean() == pytest.approx(0.1, abs=0.005)
    assert shares[60:].mean() == pytest.approx(0.3, abs=0.01)


def test_a_share_beyond_one_is_refused(script):
    with pytest.raises(ValueError, match="cannot be 11"):
        streams(script, np.random.default_rng(0), surge_from=0, surge=11.0)


def test_a_fitted_chart_keeps_to_its_rate_and_notices_surges(script):
    rng = np.random.default_rng(1)
    scores, past = streams(script, rng)
    chart = script.stream.watch.fit_chart(scores, np.arange(1000), past, 0.01)
    assert chart.level == pytest.approx(0.1)
    assert chart.deviation == pytest.approx(0.3)
    _, alarms = chart.run(past, scores)
    lower = dataclasses.replace(chart, threshold=chart.threshold - 0.1)
    _, more = lower.run(past, scores)
    assert alarms.mean() <= 0.01 < more.mean()
    _, later = chart.run(streams(script, rng)[1], scores)
    assert later.mean() < 0.02
    _, surging = streams(script, rng, surge_from=50, surge=3.0)
    _, alarms = chart.run(surging, scores)
    delays = script.stream.watch.delays(alarms, 50)
    assert 1 <= delays.mean() < 4


def test_scores_all_alike_cannot_be_watched(script):
    scores, past = streams(script, np.random.default_rng(0))
    with pytest.raises(ValueError, match="all scores of the past are alike"):
        script.stream.watch.fit_chart(np.ones_like(scores), np.arange(1000), past, 0.01)


def test_draws_hold_every_label_evenly_and_no_support_among_queries(script):
    labels = [("b",)] * 30 + [("a",)] * 10
    texts = tuple(f"text {n}" for n in range(40))
    examples = data.Examples("forty", texts, tuple(labels))
    given = script.methods.draws.support_draws(examples, 4, 3, 20)
    for episode in given.episodes:
        assert np.bincount(episode.support_targets).tolist() == [4, 4]
        assert len(episode.query) == 20
        assert not set(episode.support) & set(episode.query)
        names = [examples.label_names[t] for t in episode.query_targets]
        assert names == [examples.labels[row][0] for row in episode.query]
    # Of 32 sentences that are left, 6 are of the rare label: no less among queries.
    many = script.methods.draws.support_draws(examples, 4, 200, 8).episodes
    rare = np.mean([(episode.query_targets == 0).mean() for episode in many])
    assert rare == pytest.approx(6 / 32, abs=0.03)
    first, second, _ = given.episodes
    assert set(first.support) != set(second.support)
    with pytest.raises(ValueError, match="'a' has 10 sentences"):
        script.methods.draws.support_draws(examples, 10, 1, 20)


def test_topics_are_told_by_terms_which_are_cut_out(script):
    texts = (
        "Its net profit grew .",
        "Its net profit grew after layoffs .",  # Two topics.
        "Nothing of the kind .",
        "Its net sales grew .",  # As the first one, without the term.
        "It got an order for ships .",
    )
    examples = data.Examples("news", texts, (("positive",),) * 5)
    found = script.topics.terms.by_terms(examples)
    assert found.texts == ("Its … grew .", "It got an … for ships .")
    assert found.labels == (("earnings",), ("orders",))


def test_masked_words_are_cut_out_of_sentences_that_hold_them(script):
    texts = [
        "Ships sank in 1912 and in 1915 .",
        "The ships came in .",
        "No ship at all .",
        "Then ships sank again .",
    ]
    found = script.topics.masked.words_of(texts, 2)
    by_word = {word: {t for t, w in found if w == word} for _, word in found}
    assert by_word == {
        "sank": {"Ships … in 1912 and in 1915 .", "Then ships … again ."},
        "ships": {
            "… sank in 1912 and in 1915 .",
            "The … came in .",
            "Then … sank again .",
        },
    }
    assert len(script.topics.masked.words_of(texts, 2, most=2)) == 4
    assert not script.topics.masked.words_of(texts, 4)


TERMS = {
    "acquisitions": "takeover",
    "earnings": "earnings",
    "layoffs": "layoffs",
    "orders": "order",
    "people": "chairman",
    "products": "software",
    "property": "plant",
    "shares": "stock",
}


THINGS = ("ships", "trains", "lorries", "ferries")


def news_folder(folder):
    """Sentences whose sentiment follows from a word, and topic from a term."""
    (folder / "financial_phrasebank").mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows = [
        {"text": f"{term} {n} {text}", "label": label}
        for label, topic in zip(LABELS, worlds.TOPICS, strict=False)
        for term in TERMS.values()
        for n, text in enumerate(worlds.texts([topic], 25, rng))
    ]
    # Also some of no topic, whose words are masked.
    rows += [
        {"text": f"{n} {THINGS[n % 4]} {text}", "label": LABELS[n % 3]}
        for n, text in enumerate(worlds.texts(worlds.TOPICS[:3], 60, rng))
    ]
    worlds.write_jsonl(folder / "financial_phrasebank" / "examples.jsonl", rows)


def scored_texts(threshold=0.5):
    """Stands in for `data.scored_texts`; a third of the texts are neutral."""
    rows = [
        (domain, label, f"{domain} {number}", text)
        for domain in ("editorials", "films", "products", "tweets")
        for label, topic in zip(LABELS, worlds.TOPICS[4:], strict=False)
        for number, text in enumerate(
            worlds.texts([topic], 20, np.random.default_rng(1))
        )
        if label != "neutral" or not threshold
    ]
    return data.Examples(
        name="scored",
        texts=tuple(f"{text} {name}" for *_, name, text in rows),
        labels=tuple(
            (label if label != "neutral" else "positive",) for _, label, *_ in rows
        ),
        domains=tuple(domain for domain, *_ in rows),
        ids=tuple(f"{name} {label}" for _, label, name, _ in rows),
    )


def test_gains_are_taken_on_the_draws_that_both_have(script):
    one, other = (
        {name: np.array(x) for name, x in (("accuracy", acc), ("macro F1", f1))}
        for acc, f1 in (([0.5, 0.7], [0.4, 0.4]), ([0.4, 0.6], [0.5, 0.5]))
    )
    found = script.methods.gain_table({8: {"a": one, "b": other}}, "a", "b")
    assert found.splitlines()[0] == "| a less b | accuracy | macro F1 |"
    assert found.splitlines()[2] == "| 8 shots | +10.0 ± 0.0 | -10.0 ± 0.0 |"


def test_lists_scored_together_are_told_apart_again(script):
    numbers = np.arange(3, dtype=np.int32)
    one = data.Episode((0,), None, numbers, numbers, numbers, numbers)
    lists = {
        8: data.FixedEpisodes(None, (one,) * 2),
        16: data.FixedEpisodes(None, (one,) * 3),
    }

    def score(given):
        every = np.arange(len(given.episodes))
        return evaluation.Scores({"accuracy": every}, 10 * every)

    found = script.methods.together(score, lists)
    assert found[8].metrics["accuracy"].tolist() == [0, 1]
    assert found[16].metrics["accuracy"].tolist() == [2, 3, 4]
    assert found[16].logits.tolist() == [20, 30, 40]


def smaller(file, bert):
    config = config_lib.load_file(file)
    return dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, name=str(bert)),
        data=dataclasses.replace(config.data, max_length=worlds.POSITIONS),
        episodes=dataclasses.replace(
            config.episodes, train_way=3, train_shot=2, train_queries=2
        ),
        training=dataclasses.replace(
            config.training, steps=1, eval_every=1, valid_episodes=2
        ),
        evaluation=dataclasses.replace(
            config.evaluation, test_episodes=2, batch_episodes=2
        ),
    )


@pytest.mark.slow
def test_financial_news_runs_in_miniature(script, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "scored_texts", scored_texts)
    news_folder(tmp_path / "data")
    monkeypatch.setenv("METAFLAX_DATA", str(tmp_path / "data"))
    made = {"frozen": [], "fine_tuned": []}
    for name, kept in made.items():
        settings = getattr(script.methods, name)

        def first(*args, settings=settings, kept=kept):
            kept.append(settings(*args)[0])
            return kept[-1:]

        monkeypatch.setattr(script.methods, name, first)
    bert = worlds.save_bert(tmp_path / "bert")
    config, topics_config = (
        smaller(scripts.EXPERIMENTS / "financial_news" / name, bert)
        for name in ("config.py", "topics_config.py")
    )
    sizes = script.methods.Sizes(
        shots=(2, 3),
        test=3,
        test_tuned=2,
        queries=6,
        valid=2,
        valid_tuned=1,
        quiet_days=1000,
        surges=3,
    )
    said = io.StringIO()
    console = Console(file=said, width=200)
    with worlds.apart(tmp_path):
        script.financial_news(
            config, topics_config, tmp_path / "data", tmp_path / "runs", console, sizes
        )
    rows = worlds.read_jsonl(tmp_path / "runs" / "sentences.jsonl")
    neutral = {r["domain"] for r in rows if r["label"] == "neutral"}
    assert neutral >= {"tweets", "films", "news-valid", "news-test"}
    for name in ("sentiment", "topics"):
        found = json.loads((tmp_path / "runs" / f"{name}.json").read_text())
        assert {"class means", "logistic regression", script.methods.OURS} <= set(
            found["2"]
        )
    scores = tmp_path / "runs" / "scores" / "sentiment"
    tuned, from_run, ours = (
        json.loads((scores / f"{name}.json").read_text())["2"]["accuracy"]
        for name in (script.methods.TUNED, script.methods.BOTH, script.methods.OURS)
    )
    assert (len(tuned), len(from_run), len(ours)) == (2, 2, 3)
    starts = [setting.model.name for setting in made["fine_tuned"]]
    assert starts == [str(bert), str(tmp_path / "runs" / "model")]
    trained, plain = (
        models.load(model).params for model in (tmp_path / "runs" / "model", bert)
    )
    mlps = [jax.tree.leaves(params["layer_0"]["mlp"]) for params in (trained, plain)]
    assert not all(map(np.array_equal, *mlps))  # It is no copy of the pretrained one.
    rows = worlds.read_jsonl(tmp_path / "runs" / "topics.jsonl")
    words = {row["label"] for row in rows if row["domain"] == "words"}
    assert len(words) >= 3
    assert words <= set(THINGS)
    text = said.getvalue()
    assert " of 396 test sentences, " in text
    assert f"| {script.methods.OURS} less true labels |" in text
    assert f"| {script.methods.BOTH} less {script.methods.TUNED} | acc" in text
    assert (tmp_path / "runs" / "stream.png").stat().st_size > 10_000
