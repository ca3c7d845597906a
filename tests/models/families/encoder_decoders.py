"""Tiny encoder-decoders of every family and setting, shared by tests of families."""

import dataclasses

import numpy as np
import pytest

from metaflax import models
from metaflax.models.families.t5._config import T5Config
from metaflax.models.families.t5._network import t5
from tests.models.examples import CONFIG
from tests.models.families.networks import randomized
from tests.models.speakers import DECODER, SEQ2SEQ, T5, padded_left, pairs, texts

SEQ2SEQ_CHANGES = {
    "two berts": {},
    "bridge": {"encoder": {"hidden_size": 15, "num_hidden_layers": 1}},
    "deep": {"decoder": {"num_hidden_layers": 3, "hidden_act": "gelu_new"}},
    "wide": {"decoder": {"intermediate_size": 33, "layer_norm_eps": 1e-3}},
}
SEQ2SEQS = {
    name: dataclasses.replace(
        SEQ2SEQ,
        encoder=dataclasses.replace(CONFIG, **changes.get("encoder", {})),
        decoder=dataclasses.replace(DECODER, **changes.get("decoder", {})),
    )
    for name, changes in SEQ2SEQ_CHANGES.items()
}
T5_CHANGES = {
    "t5 1.1": {},
    "t5 1.0": {"feed_forward_proj": "relu", "tie_word_embeddings": True},
    "other heads": {"num_heads": 5, "d_kv": 3, "num_decoder_layers": 1},
    "other buckets": {
        "relative_attention_num_buckets": 8,
        "relative_attention_max_distance": 5,
        "feed_forward_proj": "gated-silu",
        "layer_norm_epsilon": 1e-3,
    },
    "unscaled": {"tie_word_embeddings": True, "scale_decoder_outputs": False},
    "scaled": {"scale_decoder_outputs": True},
}
T5S = {name: dataclasses.replace(T5, **changes) for name, changes in T5_CHANGES.items()}
CONFIGS = SEQ2SEQS | T5S
# One of each family, for tests of behaviour that encoder-decoders share.
ENCODER_DECODERS = {
    "encoder-decoder": (models.seq2seq, SEQ2SEQ),
    "t5": (t5, T5),
}


def network(config):
    """The function that builds a language model of a configuration."""
    return t5 if isinstance(config, T5Config) else models.seq2seq


def torch_model(config):
    """Hugging Face's network with random weights and the configured output layer."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    fields = config.to_dict()
    theirs = transformers.AutoConfig.for_model(fields.pop("model_type"), **fields)
    model = transformers.AutoModelForSeq2SeqLM.from_config(
        theirs, attn_implementation="eager"
    )
    if not getattr(config, "tie_word_embeddings", True):
        # Transformers ties them whatever the configuration, except in loaded files.
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.clone())
        model.all_tied_weights_keys.pop("lm_head.weight")
    return randomized(model)


def batches(config):
    """Pairs for the network; for a T5 also long ones, and left-padded ones."""
    if not isinstance(config, T5Config):
        return [pairs(config)]
    source = texts(config.vocab_size, (29, 4, 17, 1), length=29)
    target = texts(config.vocab_size, (23, 9, 2, 1), length=23, seed=1)
    ids = target.ids.at[:, 0].set(config.decoder_start_token_id)
    long = models.Pair(source, target._replace(ids=ids))
    return [long, long._replace(source=padded_left(source))]


def inputs(pair):
    """The same pairs as arguments of torch's networks."""
    named = {
        "input_ids": pair.source.ids,
        "attention_mask": pair.source.mask,
        "token_type_ids": pair.source.types,
        "decoder_input_ids": pair.target.ids,
        "decoder_attention_mask": pair.target.mask,
    }
    torch = pytest.importorskip("torch")
    return {
        name: torch.tensor(np.array(x)).long()
        for name, x in named.items()
        if x is not None
    }
