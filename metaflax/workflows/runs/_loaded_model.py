"""A pretrained model in use: network, weights, tokenizer, text lengths."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from metaflax import algorithms, base, data, models, tasks
from metaflax.algorithms._compact_rows import why_not_compact
from metaflax.config import DataConfig
from metaflax.data.batching import _seq2seq_tokens
from metaflax.data.batching._choice_batches import WrittenChoices, write_choices
from metaflax.data.batching._seq2seq_tokens import PairLayout, TokenizedPairs
from metaflax.models import Pooling
from metaflax.models.generation._decoding import DecodingConfig
from metaflax.models.generation._generate import GenerateFn


class LoadedModel(NamedTuple):
    """A pretrained encoder or generative model, ready to use.

    Attributes:
      pretrained: the checkpoint.
      encoder: encoder from texts to features; for a generative model, to logits, which
        the head `heads.identity` returns unchanged.
      tokenizer: tokenizer with the interface of Hugging Face's.
      pooling: pooling of the encoder's features.
      standardize: whether the encoder's features are standardised.
      max_positions: largest number of tokens of a text of an encoder: that of the
        network, of the tokenizer, or of a sentence-transformers folder.
      language: the network of a generative model; None for an encoder.
      further_ends: ids of further tokens that end a generated text, in addition to the
        end token of targets.
    """

    pretrained: models.pretrained.Pretrained
    encoder: models.Encoder
    tokenizer: Any
    pooling: Pooling = "mean"
    standardize: bool = True
    max_positions: int = 0
    language: models.LanguageModel | None = None
    further_ends: tuple[int, ...] = ()

    @property
    def family(self) -> models.ModelFamily:
        """Family of the model."""
        return self.pretrained.family

    def init(self, key: Any) -> Any:
        """Returns the pretrained parameters, whatever the key."""
        del key
        return self.pretrained.params

    def fitted(self, config: DataConfig) -> DataConfig:
        """Returns the config with text lengths limited to the model's maximum."""
        if self.language is None:
            length = min(config.max_length, self.max_positions)
            return dataclasses.replace(config, max_length=length)
        bounds = self._bounds()
        if bounds.separate:
            target = min(config.max_target_length, bounds.max_target)
            read = min(config.max_length, bounds.max_input)
        else:
            target = min(config.max_target_length, bounds.max_input // 2)
            read = min(config.max_length, bounds.max_input - target)
        return dataclasses.replace(config, max_length=read, max_target_length=target)

    def with_room(self, config: DataConfig) -> "LoadedModel":
        """Returns the model with room for a context where texts leave positions free.

        Args:
          config: config with the lengths of texts.
        """
        size = self.context_size(config)
        if size is None:
            return self  # Algorithms that need a context check for it.
        assert self.language is not None
        assert self.language.in_context is not None
        encoder = self.encoder._replace(apply=self.language.in_context(size))
        return self._replace(encoder=encoder)

    def context_size(self, config: DataConfig) -> int | None:
        """Returns the largest number of tokens of a context before texts of a config.

        None if the model does not support a context, or has no positions left for it.
        """
        if self.language is None or self.language.in_context is None:
            return None
        longest = config.max_length + config.max_target_length
        size = self._bounds().max_input - longest
        return size if size > 0 else None

    def compact(self, algorithm: base.MetaAlgorithm) -> base.MetaAlgorithm:
        """Restricts adaptation to the embedding rows of a task, if that is exact."""
        path = self.family.word_embedding
        if path is None:
            return algorithm
        words = models.word_table(f"encoder/{path}")
        if why_not_compact(algorithm, words):
            return algorithm
        return algorithms.compact_rows(algorithm, words)

    def tokenize(
        self, texts: Sequence[Any], config: DataConfig, form: tasks.Form
    ) -> data.TokenizedTexts:
        """Tokenizes texts, or reads their tokens from the cache."""
        return data.tokenize(
            self.tokenizer,
            texts,
            max_length=config.max_length,
            form=form,
            on_long=config.on_long,
            max_positions=self.max_positions,
            cache_dir=data.cache_folder() / "tokens",
        )

    def tokenize_pairs(
        self,
        texts: Sequence[Any],
        targets: Sequence[Any],
        config: DataConfig,
        level: tasks.TextLevel,
    ) -> TokenizedPairs:
        """Tokenizes inputs and target texts of a generative model."""
        return _seq2seq_tokens.tokenize_pairs(
            self.tokenizer,
            texts,
            targets,
            level=level,
            layout=self.text_layout(config, level),
            on_long=config.on_long,
            cache_dir=data.cache_folder() / "tokens",
        )

    def write_choices(
        self,
        texts: Sequence[Any],
        names: Sequence[str],
        config: DataConfig,
        task: tasks.TaskType,
        *,
        calibrate: bool,
    ) -> WrittenChoices:
        """Tokenizes texts with their choices, by the task type's template."""
        assert task.template is not None
        end = task.template.end
        return write_choices(
            self.tokenizer,
            texts,
            task,
            names,
            max_length=config.max_length,
            max_target_length=config.max_target_length,
            end=self.text_layout(config).end if end is None else self._only_token(end),
            calibrate=calibrate,
            on_long=config.on_long,
        )

    def text_layout(
        self, config: DataConfig, level: tasks.TextLevel | None = None
    ) -> PairLayout:
        """Returns the layout of inputs and targets of these lengths as tokens.

        Args:
          config: config with the lengths.
          level: task level, which may name the end of targets.

        Raises:
          ValueError: if the model has no tokens to begin and to end texts with, or too
            few positions.
        """
        bounds = self._bounds()
        begin, end = bounds.begin, bounds.end
        if level is not None and level.end is not None:
            end = self._only_token(level.end)
        if begin is None or end is None:
            missing = {"begins": begin, "ends": end}
            verbs = " or ".join(
                name for name, token in missing.items() if token is None
            )
            raise ValueError(
                f"{self.pretrained.directory} names no token that {verbs} generated"
                " texts; set bos_token_id and eos_token_id in its config.json"
                " (decoder_start_token_id for an encoder-decoder)."
            )
        read, target = config.max_length, config.max_target_length
        lengths = f"max_length={read} and max_target_length={target}"
        if bounds.separate:
            if read > bounds.max_input or target > bounds.max_target:
                raise ValueError(
                    f"{lengths} do not fit a model with inputs of {bounds.max_input}"
                    f" tokens and outputs of {bounds.max_target}; lower them."
                )
        elif read + target > bounds.max_input:
            raise ValueError(
                f"{lengths} together do not fit a model of {bounds.max_input} tokens;"
                " lower them."
            )
        return PairLayout(begin, end, bounds.separate, read, target)

    def _only_token(self, text: str) -> int:
        """Returns the token id of a text that is a single token.

        Raises:
          ValueError: if the text is not exactly one token.
        """
        tokens = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        if len(tokens) != 1:
            raise ValueError(
                f"the template ends targets with {text!r}, {len(tokens)} tokens in"
                f" {self.pretrained.directory}; give an `end` of one token, or none"
                " (the token that ends the model's texts)."
            )
        return int(tokens[0])

    def generator(
        self, layout: PairLayout, decoding: DecodingConfig, context: Any = None
    ) -> GenerateFn:
        """Returns the decoding function, optionally conditioned on a context.

        See `DecodingConfig.decoder` and `LanguageModel.after`.
        """
        language = self.language
        assert language is not None  # Encoders generate nothing.
        if context is not None:
            assert language.after is not None  # The model has encoded the context.
            language = language.after(context)
        return decoding.decoder(
            language,
            max_new=layout.max_target_length,
            end=tuple(dict.fromkeys((layout.end, *self._ends))),
        )

    def text(self, ids: Any, mask: Any) -> str:
        """Decodes generated tokens `[T]`, without the end token."""
        kept = [int(i) for i, real in zip(ids, mask, strict=True) if real]
        if kept and kept[-1] in self._ends:  # End tokens need not be special tokens.
            kept.pop()
        return self.tokenizer.decode(kept, skip_special_tokens=True).strip()

    def save(self, target: Path, params: Any, **kwargs: Any) -> None:
        """Writes the model with these parameters, see `ModelFamily.save`."""
        self.family.save(
            target,
            self.pretrained.config,
            jax.tree.map(np.asarray, models.merge_lora(params)),
            tokenizer_from=self.pretrained.directory,
            **kwargs,
        )

    @property
    def _ends(self) -> tuple[int, ...]:
        """End tokens of the model's texts, regardless of the end of targets."""
        end = self._bounds().end
        return self.further_ends if end is None else (end, *self.further_ends)

    def _bounds(self) -> models.families.TextBounds:
        assert self.family.text_bounds is not None  # Generative families have them.
        return self.family.text_bounds(self.pretrained.config, self.tokenizer)
