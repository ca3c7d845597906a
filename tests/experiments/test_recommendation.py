"""The recommendation experiment in miniature, on made-up users with a taste."""

import dataclasses
import io
import itertools
import json

import numpy as np
import pytest
from rich.console import Console

from metaflax import config as config_lib
from tests.experiments import scripts
from tests.workflows import worlds

pytestmark = scripts.marks

NUM_FILMS, NUM_USERS, NUM_RATED = 80, 60, 32
WORDS = ("robots", "ghosts", "horses", "trains")
SHARES = {"train": 40, "valid": 8, "test": 12}


@pytest.fixture(scope="module")
def script():
    return scripts.load("recommendation")


@pytest.fixture
def users_lib(script):
    return script.users_lib


@pytest.fixture
def choose(script):
    return script.choose


@pytest.fixture
def scores(script):
    return script.scores


def rated(rng, num):
    """Films and ratings of a user who likes two of four subjects."""
    likes = rng.permutation(4) < 2
    films = rng.permutation(NUM_FILMS)[:num]
    level = 1.5 + 2.5 * likes[films % 4] + 0.5 * (films >= NUM_FILMS // 2)
    return films, np.clip(level + 0.5 * rng.integers(-1, 2, num), 0.5, 5.0)


def made_up_users(users_lib):
    rng = np.random.default_rng(0)
    every = [
        users_lib.User(n, films, ratings.astype(np.float32))
        for n, (films, ratings) in enumerate(
            rated(rng, NUM_RATED) for _ in range(NUM_USERS)
        )
    ]
    ends = itertools.pairwise(np.cumsum([0, *SHARES.values()]))
    return {
        name: every[first:last]
        for name, (first, last) in zip(SHARES, ends, strict=True)
    }


def small_config(**training):
    config = config_lib.load_file(scripts.EXPERIMENTS / "recommendation" / "config.py")
    return dataclasses.replace(
        config,
        training=dataclasses.replace(config.training, tasks_per_step=4, **training),
        episodes=dataclasses.replace(config.episodes, queries=8),
    )


def all_later(scores, method, users, size, **how):
    """Scores of rankings of all films that were rated later."""
    part = scores.Part(np.ones(NUM_FILMS, bool), **how)
    return scores.scored(method, users, size, {"": part})[""]


def test_meta_training_learns_users_taste_better_than_popularity(
    choose, scores, users_lib
):
    users = made_up_users(users_lib)
    ratings = users_lib.ratings_of(users["train"], NUM_FILMS)
    # Subjects lie in a few of many directions, which are those of least variance.
    rng = np.random.default_rng(1)
    texts = rng.normal(size=(NUM_FILMS, 40)).astype(np.float32) / 6
    texts[:, :4] = 0.1 * np.eye(4)[np.arange(NUM_FILMS) % 4]
    popularity = ratings.popularity(5.0)

    def learned(steps):
        return choose.trained(
            texts,
            users["train"],
            ratings,
            popularity,
            small_config(steps=steps),
            True,
            3e-2,
        )

    by_user = {
        name: all_later(scores, method, users["test"], 10)
        for name, method in {
            "popularity": choose.methods.popular(popularity),
            "untrained": learned(1),
            "trained": learned(150),
        }.items()
    }
    ndcg = {name: found[:, 0].mean() for name, found in by_user.items()}
    rmse = {name: found[:, 3].mean() for name, found in by_user.items()}
    assert ndcg["trained"] > ndcg["popularity"] + 0.1
    assert ndcg["trained"] > ndcg["untrained"] + 0.03
    assert rmse["trained"] < 0.8 * rmse["popularity"]
    gap = scores.evaluation.paired_interval(
        by_user["popularity"][:, 0], by_user["trained"][:, 0]
    )
    assert gap.low > 0


def test_several_lists_of_a_user_count_once(choose, scores, users_lib):
    users = made_up_users(users_lib)["test"]
    ratings = users_lib.ratings_of(users, NUM_FILMS)
    method = choose.methods.counted(ratings.popularity(1.0))
    alone = [
        all_later(scores, method, users, 5, starts=[start]) for start in (0, 3, 28)
    ]
    assert np.all(np.isnan(alone[2]))  # Nothing is left to rank.
    together = all_later(scores, method, users, 5, starts=(0, 3, 28))
    np.testing.assert_allclose(together, (alone[0] + alone[1]) / 2)


def test_parts_are_of_the_films_and_places_that_they_name(choose, scores, users_lib):
    users = made_up_users(users_lib)["test"]
    method = choose.methods.counted(
        users_lib.ratings_of(users, NUM_FILMS).popularity(1)
    )
    even = np.arange(NUM_FILMS) % 2 == 0
    parts = {
        "even": scores.Part(even),
        "after the 20th": scores.Part(np.ones(NUM_FILMS, bool), skipped=20),
        "never": scores.Part(even, least=NUM_FILMS),
    }
    together = scores.scored(method, users, 5, parts)
    for row, user in enumerate(users):
        later = users_lib.User(user.name, user.films[5:], user.ratings[5:])
        for name, chosen in (
            ("even", even[later.films]),
            ("after the 20th", np.arange(NUM_RATED - 5) >= 15),
        ):
            films, ratings = later.films[chosen], later.ratings[chosen]
            want = scores.list_scores(method(user)[films], ratings)
            np.testing.assert_allclose(together[name][row], want)
    assert np.all(np.isnan(together["never"]))


def test_folds_test_every_user_once_and_share_none(users_lib):
    users = made_up_users(users_lib)
    every = {user.name for own in users.values() for user in own}
    folds = users_lib.folds(users)
    assert folds[0] == users
    for fold in folds:
        names = [{user.name for user in fold[split]} for split in SHARES]
        assert sum(map(len, names)) == NUM_USERS  # No user is of two splits.
        assert set().union(*names) == every
        assert len(fold["valid"]) == SHARES["valid"]
        assert len(fold["test"]) == NUM_USERS // 5
    tested = [user.name for fold in folds for user in fold["test"]]
    assert len(tested) == NUM_USERS
    assert set(tested) == every


def test_genres_and_time_are_read_off_the_text(script):
    texts = ["Stop. Go! (1991). Action, Crime", "Gilda (1946). Crime", "Odd 2001. "]
    kinds = script.films_lib.kinds(texts)
    action, crime, *times = (kinds / script.films_lib.KINDS_SCALE).T
    np.testing.assert_allclose(action, np.array([2, -1, -1]) / 3, rtol=1e-6)
    np.testing.assert_allclose(crime, np.array([1, 1, -2]) / 3, rtol=1e-6)
    nearest = script.films_lib.TIMES[np.argmax(times, axis=0)]
    np.testing.assert_array_equal(nearest[:2], [1990, 1950])
    np.testing.assert_allclose(np.sum(kinds, axis=0), 0, atol=1e-6)


def test_popularity_in_meta_training_is_of_other_users(script, users_lib):
    draw = script.sys.modules["learner"].draw
    drawn, others = draw(np.random.default_rng(0), 40, 4)
    assert len(drawn) == 4
    assert len(others) == int(0.8 * 36)
    assert not set(drawn) & set(others)


def test_popularity_is_drawn_to_the_mean_of_all(users_lib):
    user = users_lib.User(1, np.array([0, 2]), np.array([5.0, 1.0], np.float32))
    found = users_lib.ratings_of([user, user], 3).popularity(2.0)
    np.testing.assert_allclose(found.means(), [4.0, 3.0, 2.0])
    np.testing.assert_allclose(found.columns()[:, 2], [0.5, 1.0, 0.5])


def test_neighbours_and_likeness_follow_the_taste(choose, scores, users_lib):
    users = made_up_users(users_lib)
    ratings = users_lib.ratings_of(users["train"], NUM_FILMS)
    popularity = ratings.popularity(5.0)
    texts = np.eye(4)[np.arange(NUM_FILMS) % 4] + 0.1
    ndcg = {
        name: all_later(scores, method, users["test"], 20)[:, 0].mean()
        for name, method in {
            "popularity": choose.methods.popular(popularity),
            "neighbours": choose.methods.neighbours(ratings, popularity, 1.0, 1.0),
            "similar": choose.methods.similar(texts, np.mean),
        }.items()
    }
    assert ndcg["neighbours"] > ndcg["popularity"] + 0.1
    assert ndcg["similar"] > ndcg["popularity"] + 0.1


@pytest.mark.slow
def test_the_script_writes_results_and_a_picture(
    script, users_lib, tmp_path, monkeypatch
):
    rng = np.random.default_rng(2)
    folder = tmp_path / "movielens_small"
    folder.mkdir()
    worlds.write_jsonl(
        folder / "items.jsonl",
        [
            {"id": 100 + n, "text": f"{WORDS[n % 4]} {n} (1999)", "genres": ["Drama"]}
            for n in range(NUM_FILMS)
        ],
    )
    rows = []
    for split, count in SHARES.items():
        for _ in range(count // 4):
            films, ratings = rated(rng, 24)
            # No user of meta-training rated the last films.
            keep = films < NUM_FILMS - 12 * (split == "train")
            pairs = zip(films[keep] + 100, ratings[keep], strict=True)
            pairs = [[int(film), float(rating)] for film, rating in pairs]
            rows.append({"user": len(rows), "split": split, "ratings": pairs})
    worlds.write_jsonl(folder / "users.jsonl", rows)
    config = small_config(steps=2)
    bert = worlds.save_bert(tmp_path / "bert")
    config = dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, name=str(bert)),
        data=dataclasses.replace(
            config.data, path=str(folder / "users.jsonl"), max_length=16
        ),
    )
    monkeypatch.setattr(script.choose, "RATES", (1e-3,))
    monkeypatch.setattr(script.choose, "STARTS", (0,))
    monkeypatch.setattr(script.users_lib, "NUM_FOLDS", 2)
    said = io.StringIO()
    script.experiment(config, tmp_path / "runs", Console(file=said, width=200))
    written = json.loads((tmp_path / "runs" / "results.json").read_text())
    found = written["fold 1"]
    in_all = written["all folds"]["all later films"]
    assert list(in_all) == ["5", "10", "20"]  # The order in which they are shown.
    assert in_all["5"]["users"] == sum(SHARES.values()) // 4
    for part in (
        "all later films",
        "all later films, three lists a user",
        "films after the 20th",
    ):
        content = found[part]["5"]
        assert content["users"] == SHARES["test"] // 4
        for cells in content["scores"].values():
            assert 0 < cells["NDCG@10"][0] <= 1
        assert len(content["differences"]) == len(script.scores.PAIRS)
    unrated = found["films that no training user rated"]["5"]["scores"]
    popular = unrated[script.scores.POPULAR]
    assert popular["NDCG@10"][0] < 1  # It cannot tell them.
    assert (tmp_path / "runs" / "result.png").stat().st_size > 1000
    assert said.getvalue().count("rated first") == 2

    # A fold that is finished is read again: nothing is left to train.
    (tmp_path / "runs" / "results.json").unlink()
    monkeypatch.delattr(script.choose, "all_methods")
    script.experiment(config, tmp_path / "runs", Console(file=io.StringIO()))
    assert json.loads((tmp_path / "runs" / "results.json").read_text()) == written
    training = dataclasses.replace(config.training, steps=3)
    other = dataclasses.replace(config, training=training)
    with pytest.raises(ValueError, match=r"fold_1\.json has other settings; name"):
        script.experiment(other, tmp_path / "runs", Console(file=io.StringIO()))
