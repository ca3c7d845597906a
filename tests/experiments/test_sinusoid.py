"""The sinusoid experiment in miniature."""

import json

import jax
import numpy as np
import pytest

from tests.experiments import scripts

pytestmark = scripts.marks


@pytest.fixture(scope="module")
def script():
    return scripts.load("sinusoid")


def test_tasks_are_sines_within_their_bounds(script):
    tasks = script.draw_tasks(jax.random.key(0), 300, 5, 40)
    assert tasks.support.inputs.shape == (300, 5, 1)
    assert tasks.query.targets.shape == (300, 40, 1)
    peaks = np.abs(tasks.query.targets).max(axis=(1, 2))
    assert np.abs(tasks.query.inputs).max() <= 5
    assert peaks.max() <= 5
    assert peaks.min() > 0.05
    # y(x) = A sin(x - b) and its negative half a period on, whatever A and b.
    x, y = (np.asarray(v[0, :, 0], float) for v in tasks.query[:2])
    waves = np.stack([np.sin(x), np.cos(x)], axis=1)
    coefficients = np.linalg.lstsq(waves, y, rcond=None)[0]
    np.testing.assert_allclose(waves @ coefficients, y, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "maml",
        pytest.param("meta_sgd", marks=pytest.mark.slow),
        pytest.param("cavia", marks=pytest.mark.slow),
    ],
)
def test_meta_training_beats_the_start_and_pretraining(script, name):
    tasks = script.draw_tasks(script.TEST_KEY, 200, 10, 50)
    algorithm = script.METHODS[name](1)
    start = script.meta_train(algorithm, 0, 10)
    learned = script.meta_train(algorithm, 2000, 10)
    before, after = (
        script.test_errors(algorithm, params, tasks).mean()
        for params in (start, learned)
    )
    pretrained = script.meta_train(script.pretraining(0), 2000, 10)
    tuned = script.test_errors(script.maml(1), pretrained, tasks).mean()
    assert after < 0.75 * before
    assert after < 0.85 * tuned


def test_the_script_writes_results_and_a_plot(script, tmp_path, monkeypatch, capsys):
    command = ["run.py", "--steps", "2", "--tasks", "8", "--out", str(tmp_path)]
    monkeypatch.setattr("sys.argv", [*command, "--methods", "maml", "meta_sgd"])
    monkeypatch.setattr(script, "NUM_STEPS", (1, 10))
    monkeypatch.setattr(script, "SHOTS", (10,))
    assert script.main() == 0
    assert "| meta_sgd | 10 |" in capsys.readouterr().out
    errors = json.loads((tmp_path / "results.json").read_text())["errors"]
    assert len(errors) == 2 * 2
    assert (tmp_path / "result.png").stat().st_size > 1000


def test_an_adaptation_that_diverges_is_called_so(script):
    assert script.interval_text(np.array([1.0, np.inf])) == "diverges"
    assert script.mean_and_width(np.array([np.nan, 1.0]))["mean"] is None
