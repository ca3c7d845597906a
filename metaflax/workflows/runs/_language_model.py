"""The language model a config names: network, weights, tokenizer."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from metaflax import data, models, tasks
from metaflax.config import DataConfig, ModelConfig


class Speaker(NamedTuple):
    """A pretrained language model, ready to use.

    Attributes:
      pretrained: the checkpoint.
      language: says how texts go on.
      tokenizer: of Hugging Face.
    """

    pretrained: models.pretrained.PretrainedLanguageModel[Any]
    language: models.LanguageModel
    tokenizer: Any

    @property
    def encoder(self) -> models.Encoder:
        """The model as what lies below `heads.identity`: its features are logits."""
        language = self.language
        return models.Encoder(language.init, language.apply, language.vocab_size)

    def init(self, key: Any) -> Any:
        """The pretrained parameters, whatever the key."""
        del key
        return self.pretrained.params

    def speech(self, config: DataConfig) -> data.Speech:
        """How it is told what to say, in texts of the lengths of a config.

        Raises:
          ValueError: if it has no tokens to begin and to end texts with, or too few
            positions.
        """
        begin, end, apart, room = _bounds(self.pretrained.config, self.tokenizer)
        absent = {"begins": begin is None, "ends": end is None}
        if missing := [name for name, is_absent in absent.items() if is_absent]:
            raise ValueError(
                f"{self.pretrained.directory} names no token that"
                f" {' or '.join(missing)} what the model says; set bos_token_id and"
                " eos_token_id in its config.json (decoder_start_token_id for an"
                " encoder-decoder)."
            )
        read, said = config.max_length, config.max_target_length
        lengths = f"max_length={read} and max_target_length={said}"
        if apart and (read > room[0] or said > room[1]):
            raise ValueError(
                f"{lengths} do not fit a model that reads {room[0]} tokens and says"
                f" {room[1]}; lower them."
            )
        if not apart and read + said > room[0]:
            raise ValueError(
                f"{lengths} together do not fit a model of {room[0]} tokens; lower"
                " them."
            )
        return data.Speech(begin, end, apart, read, said)

    def tokenize_pairs(
        self,
        texts: Sequence[Any],
        targets: Sequence[Any],
        config: DataConfig,
        level: tasks.TextLevel,
    ) -> data.TokenizedPairs:
        """The tokens of texts, and of what is to be said of them."""
        return data.tokenize_pairs(
            self.tokenizer,
            texts,
            targets,
            level=level,
            speech=self.speech(config),
            on_long=config.on_long,
            cache_dir=data.cache_folder() / "tokens",
        )

    def generator(
        self, speech: data.Speech, num_beams: int, repetition_penalty: float = 1.0
    ) -> models.GenerateFn:
        """What generates: the likeliest word each time, or a beam search.

        Raises:
          ValueError: if there is no beam, or the penalty is not positive.
        """
        how: Callable[..., models.GenerateFn] = models.greedy
        if num_beams != 1:
            how = functools.partial(models.beam_search, num_beams=num_beams)
        return how(
            self.language,
            max_new=speech.num_said,
            end=speech.end,
            repetition_penalty=repetition_penalty,
        )

    def text(self, ids: Any, mask: Any) -> str:
        """The text of generated tokens `[T]`, without the one that ends it."""
        return self.tokenizer.decode(
            [int(i) for i, real in zip(ids, mask, strict=True) if real],
            skip_special_tokens=True,
        ).strip()


def load_speaker(config: ModelConfig) -> Speaker:
    """Loads weights and tokenizer.

    Raises:
      ValueError: if they cannot be had, or the model says no texts.
    """
    source = data.fetch_minilm() if config.name == "minilm" else config.name
    pretrained = models.pretrained.load_language_model(source)
    pretrained = pretrained._replace(params=_with_additions(pretrained, config))
    is_gpt = isinstance(pretrained.config, models.GPTConfig)
    make: Any = models.gpt if is_gpt else models.seq2seq
    return Speaker(
        pretrained,
        make(
            pretrained.config,
            dtype=jnp.dtype(config.dtype),
            layer_loop=config.layer_loop,
            remat=config.remat,
        ),
        models.pretrained.tokenizer(pretrained.directory),
    )


def _with_additions(pretrained: Any, config: ModelConfig) -> Any:
    """The parameters with the leaves that a config adds, always the same ones."""
    params = pretrained.params
    if config.context_size:
        raise ValueError("context_size is for encoders; a language model takes none.")
    key, both = jax.random.key(0), ("encoder", "decoder")
    if size := config.lora_rank:
        params = _grown(params, key, both, models.with_lora, rank=size)
    if size := config.adapter_size:
        params = _grown(params, key, both, models.with_adapters, size=size)
    if size := config.prefix_size:
        params = _grown(params, key, ("decoder",), models.with_prefix, size=size)
    return params


def _grown(
    params: Any, key: Any, networks: Sequence[str], grow: Any, **sizes: int
) -> Any:
    """Leaves added to the one network that there is, or to some of two."""
    if "decoder" not in params:
        return grow(params, key, **sizes)
    grown = {
        name: grow(params[name], jax.random.fold_in(key, number), **sizes)
        for number, name in enumerate(networks)
    }
    return {**params, **grown}


def _bounds(config: Any, tokenizer: Any) -> tuple[Any, Any, bool, tuple[int, int]]:
    """The ids that begin and end a text, whether it is read apart, and the room."""
    if isinstance(config, models.GPTConfig):
        end = config.eos_token_id
        begin = end if config.bos_token_id is None else config.bos_token_id
        return begin, end, False, (config.n_positions, config.n_positions)
    ends = (config.eos_token_id, tokenizer.eos_token_id, tokenizer.sep_token_id)
    end = next((token for token in ends if token is not None), None)
    return config.decoder_start_token_id, end, True, _rooms(config)


def _rooms(config: models.Seq2SeqConfig) -> tuple[int, int]:
    """The most tokens that two networks read, and say after the one that begins all."""
    return (
        config.encoder.max_position_embeddings,
        config.decoder.max_position_embeddings - 1,
    )


def within(speaker: Speaker, config: DataConfig) -> DataConfig:
    """The config, with texts no longer than the model takes."""
    own = speaker.pretrained.config
    if isinstance(own, models.GPTConfig):
        said = min(config.max_target_length, own.n_positions // 2)
        read = min(config.max_length, own.n_positions - said)
    else:
        most_read, most_said = _rooms(own)
        read = min(config.max_length, most_read)
        said = min(config.max_target_length, most_said)
    return dataclasses.replace(config, max_length=read, max_target_length=said)
