"""Pretraining on raw text: which words were masked?"""

import contextlib
import itertools
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from metaflax import base, data, losses, models, profiling, reporting, training
from metaflax import config as config_lib
from metaflax.workflows._run import committed
from metaflax.workflows._run_directory import RunDirectory
from metaflax.workflows._step_costs import StepCosts

# The folder of a run where its model is left.
MODEL = "model"
# What model selection follows, more is better; perplexity falls with it.
SCORE = "log_likelihood"


def pretrain(
    config: config_lib.PretrainConfig, run_dir: str | Path, console: Console
) -> dict[str, Any]:
    """Trains a BERT to say which words were masked, and scores held-out text.

    Started again on the same directory it goes on from the latest checkpoint.

    Args:
      config: what to do.
      run_dir: gets config, versions, what steps cost, log, checkpoints, results, and in
        its folder `model` the `BertForMaskedLM` that scored best, for `train --model`.
      console: where progress goes.

    Returns:
      The content of `results.json`: `perplexity` and `accuracy` of masked words of
      held-out text, `before` and `after`.

    Raises:
      ValueError: for anything wrong with config or text, and for steps that do not fit
        the device, before the directory is touched; `training.DivergedError` for a loss
        that is not finite.
    """
    config_lib.check_pretraining(config)
    directory = RunDirectory(run_dir, config_lib.PretrainConfig)
    directory.check(config)
    network = load_network(config)
    rows = HiddenRows.of(config, network)
    costs = StepCosts(directory, console)
    step, state = _outer_loop(config, network, costs)
    validate = _validator(config, network, rows)
    console.print(rows.summary())
    if not directory.finished:
        # Refused here, if at all: nothing is written yet.
        step.compiled(state, jax.device_put(next(rows.batches(0))))
    directory.begin(config)
    costs.write()
    started = time.perf_counter()
    before = validate(network.params)
    fitted = _fit(config, rows, step, state, validate, directory, console)
    after = validate(fitted.params)
    directory.write_json("selected.json", {"best_step": fitted.stopping.best_step})
    results = {
        "best_step": fitted.stopping.best_step,
        "steps": fitted.steps,
        "seconds": round(time.perf_counter() - started, 1),
        **{
            name: {"before": before[name], "after": after[name]}
            for name in ("perplexity", "accuracy")
        },
    }
    directory.write_json("results.json", results)
    _save(directory.path / MODEL, network, fitted.params)
    console.print(
        f"perplexity of masked words of held-out text: {before['perplexity']:.2f}"
        f" before, {after['perplexity']:.2f} after; the model is in"
        f" {directory.path / MODEL}.",
        soft_wrap=True,
    )
    return results


class Network(NamedTuple):
    """A BERT to pretrain.

    Attributes:
      config: its sizes.
      params: where it begins, `{"encoder": ..., "head": ...}`.
      model: its functions.
      directory: where the tokenizer's files lie.
      tokenizer: of Hugging Face.
    """

    config: models.BertConfig
    params: Any
    model: models.MaskedLM
    directory: Path
    tokenizer: Any


def load_network(config: config_lib.PretrainConfig) -> Network:
    """Loads weights or draws new ones, and the tokenizer.

    Raises:
      ValueError: if they cannot be had, or have no mask.
    """
    chosen, key = config.network, jax.random.key(config.training.seed)
    source = data.fetch_minilm() if chosen.model == "minilm" else chosen.model
    if chosen.fresh:
        tokenizer = models.pretrained.tokenizer(source)
        directory = Path(tokenizer.name_or_path)
        sizes = models.BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=chosen.hidden_size,
            num_hidden_layers=chosen.num_layers,
            num_attention_heads=chosen.num_heads,
            intermediate_size=chosen.intermediate_size,
            max_position_embeddings=max(config.text.length, 128),
        )
        params = None
    else:
        found = models.pretrained.load_masked_lm(source)
        sizes, directory, params = found.config, found.directory, found.params
        tokenizer = models.pretrained.tokenizer(directory)
    if tokenizer.mask_token_id is None:
        raise ValueError(f"{directory}: the tokenizer has no mask token; take another.")
    if config.text.length > sizes.max_position_embeddings:
        raise ValueError(
            f"length is {config.text.length}, and the model has"
            f" {sizes.max_position_embeddings} positions; lower it."
        )
    model = models.masked_lm(
        sizes,
        dtype=jnp.dtype(chosen.dtype),
        layers_by=chosen.layers_by,
        remat=chosen.remat,
    )
    if params is None:
        params = model.init(key)
    elif "head" not in params:
        params = {**params, "head": models.init_head(sizes, key)}
    return Network(sizes, committed(params), model, directory, tokenizer)


class HiddenRows(NamedTuple):
    """Rows of text with words hidden, to train on and to score.

    Attributes:
      config: of the run.
      tokenizer: of Hugging Face.
      train: the text that is trained on.
      valid: that which is held out, the end of the file.
      vocabulary: ids that a random token is drawn from.
    """

    config: config_lib.PretrainConfig
    tokenizer: Any
    train: data.PackedText
    valid: data.PackedText
    vocabulary: np.ndarray

    @classmethod
    def of(cls, config: config_lib.PretrainConfig, network: Network) -> "HiddenRows":
        """Indexes the text and holds its end out.

        Raises:
          ValueError: if the text cannot be read, or is too short to be divided.
        """
        text = config.text
        if not text.text:
            raise ValueError("no text is named; give --text FILE.")
        index = data.index_texts(text.text, text=text.column)
        num_held_out = math.ceil(text.held_out * len(index))
        if num_held_out >= len(index):
            raise ValueError(
                f"{index.path}: holds {len(index)} texts, of which {num_held_out} would"
                " be held out and none left to train on; give more text."
            )
        divide = len(index) - num_held_out
        parts = index, network.tokenizer, text.length
        return cls(
            config,
            network.tokenizer,
            data.PackedText(*parts, 0, divide),
            data.PackedText(*parts, divide, len(index)),
            data.ordinary_tokens(network.tokenizer),
        )

    def batches(self, start: int) -> Iterator[base.Task]:
        """The batches of step `start` and all later ones, as tasks without support."""
        chosen = self.config.training
        rows = chosen.rows_at_once or chosen.rows_per_step
        for step in itertools.count(start):
            numbers = np.arange(chosen.rows_per_step) + step * chosen.rows_per_step
            parts = [
                self._collated([self._hidden_row(number) for number in part.tolist()])
                for part in numbers.reshape(-1, rows)
            ]
            yield base.Task((), jax.tree.map(lambda *x: np.stack(x), *parts))  # pyright: ignore

    def held_out(self) -> Iterator[base.Batch]:
        """The batches to be scored, the same ones always; the last is filled up."""
        chosen = self.config.training
        size = chosen.rows_at_once or chosen.rows_per_step
        rows = itertools.islice(self.valid.rows(), chosen.valid_rows)
        hidden = [
            self._hidden(row, _draws(chosen.seed, n)) for n, row in enumerate(rows)
        ]
        for first in range(0, len(hidden), size):
            part = hidden[first : first + size]
            batch = self._collated([*part, *[part[-1]] * (size - len(part))])
            batch.weights[len(part) :] = 0
            yield batch

    def summary(self) -> str:
        """What there is, for a message."""
        train, valid = (part.last - part.first for part in (self.train, self.valid))
        return f"{train} texts to train on, {valid} held out"

    @property
    def num_places(self) -> int:
        """P, the most tokens of a row that are asked for."""
        return max(int(self.config.text.mask_rate * self.config.text.length), 1)

    def _hidden_row(self, number: int) -> data.Hidden:
        seed = self.config.training.seed
        return self._hidden(self.train.row(seed, number), _draws(seed, number))

    def _hidden(self, row: data.Row, rng: np.random.Generator) -> data.Hidden:
        return data.hide_words(
            row,
            rng,
            mask_id=self.tokenizer.mask_token_id,
            vocabulary=self.vocabulary,
            rate=self.config.text.mask_rate,
        )

    def _collated(self, rows: list[data.Hidden]) -> base.Batch:
        pad_id = self.tokenizer.pad_token_id or 0
        return data.collate_hidden(
            rows, self.config.text.length, self.num_places, pad_id
        )


def _draws(seed: int, number: int) -> np.random.Generator:
    """What is random about one row, the same in every run of a seed."""
    key = np.array([seed, number], np.uint64)
    return np.random.Generator(np.random.Philox(key=key))


_loss = losses.per_token(losses.softmax_cross_entropy)


def _as_algorithm(network: Network) -> base.MetaAlgorithm:
    """Pretraining as the outer loop sees it: a batch is a task's queries, no more."""

    def predict(params, adapted, inputs, key=None):
        del adapted  # There is nothing to adapt to.
        logits = network.model.apply(params, inputs, key)  # [S, P, V]
        return base.ClassOutputs(logits, jnp.ones(logits.shape[-1], bool))

    def loss(params, task, key=None, step=None):
        del step
        inputs, targets, weights = task.query
        value = _loss(predict(params, None, inputs, key), targets, weights)
        return value, base.MetaInfo(jnp.zeros(0), jax.lax.stop_gradient(value))

    def adapt(params, support, key=None):
        return {}, base.InnerInfo(jnp.zeros(0))

    return base.MetaAlgorithm(network.model.init, adapt, predict, loss)


def _outer_loop(
    config: config_lib.PretrainConfig, network: Network, costs: StepCosts
) -> tuple[training.FittedStep, training.TrainState]:
    chosen = config.training
    warmup = int(chosen.warmup * chosen.steps)
    optimizer = training.outer_optimizer(
        chosen.optimizer,
        training.schedule(chosen.schedule, chosen.learning_rate, chosen.steps, warmup),
        weight_decay=chosen.weight_decay,
        clip_norm=chosen.clip_norm,
    )
    key = jax.random.key(chosen.seed, impl="rbg")
    state = training.create(network.params, optimizer, key)
    algorithm = _as_algorithm(network)
    step = training.FittedStep(
        lambda tasks_by: training.make_step(
            algorithm, optimizer, tasks_by=tasks_by, dropout=chosen.dropout
        ),
        "scan",
        free_memory=profiling.free_memory,
        on_compiled=costs,
    )
    return step, committed(state)


def _validator(config: config_lib.PretrainConfig, network: Network, rows: HiddenRows):
    """`metrics = validate(params)`, over all masked tokens of the held-out rows."""

    @jax.jit
    def sums(params, batch):
        logits = network.model.apply(params, batch.inputs, None)
        logits = logits.reshape(-1, logits.shape[-1])  # [S * P, V]
        targets, weights = base.token_units(batch.targets, batch.weights)
        chosen = jnp.take_along_axis(
            jax.nn.log_softmax(logits), targets[:, None], axis=1
        )[:, 0]
        right = jnp.argmax(logits, axis=1) == targets
        return [jnp.sum(weights * x) for x in (chosen, right, jnp.ones_like(chosen))]

    batches = list(rows.held_out())

    def validate(params) -> dict[str, float]:
        found = [jax.device_get(sums(params, batch)) for batch in batches]
        likelihood, right, count = np.sum(np.array(found, np.float64), axis=0)
        if not count:
            raise ValueError(
                f"{rows.valid.index.path}: the held-out texts have no word to mask;"
                " raise held_out."
            )
        mean = likelihood / count
        return {
            SCORE: float(mean),
            "perplexity": float(np.exp(-mean)),
            "accuracy": float(right / count),
        }

    return validate


def _fit(
    config: config_lib.PretrainConfig,
    rows: HiddenRows,
    step: training.FittedStep,
    state: training.TrainState,
    validate: Any,
    directory: RunDirectory,
    console: Console,
) -> training.FitResult:
    chosen = config.training
    with contextlib.ExitStack() as stack:
        checkpoints = training.Checkpoints(directory.checkpoints)
        stack.callback(checkpoints.close)
        resumed = checkpoints.latest_step() or 0
        if resumed:
            console.print(f"resuming from step {resumed}")
        sinks: list[training.Sink] = [
            training.JsonlLog(directory.log, resume_after=resumed),
            reporting.ProgressSink(
                console,
                chosen.steps,
                chosen.rows_per_step,
                resumed,
                doing="pretraining",
                unit="rows",
            ),
        ]
        for sink in sinks:
            stack.callback(sink.close)

        def batches_from(start: int):
            return stack.enter_context(
                contextlib.closing(data.prefetch(rows.batches(start)))
            )

        try:
            return training.fit(
                step,
                state,
                batches_from,
                validate,
                checkpoints,
                score=SCORE,
                num_steps=chosen.steps,
                eval_every=chosen.eval_every,
                patience=chosen.patience,
                sinks=sinks,
            )
        except training.DivergedError as error:  # Which speaks of meta-training.
            raise training.DivergedError(
                "the loss of masked words is not finite; the last good checkpoint is"
                " kept. Lower learning_rate, or raise warmup."
            ) from error


def _save(target: Path, network: Network, params: Any) -> None:
    """Writes the model, unless a run that came to its end before has done so."""
    if target.exists():
        return
    models.pretrained.save_masked_lm(
        target,
        network.config,
        jax.tree.map(np.asarray, params),
        tokenizer_from=network.directory,
    )
