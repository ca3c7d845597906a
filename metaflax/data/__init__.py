"""From labelled text to batches of episodes, on the host.

`read` gives `Examples`, a split makes `Splits` of them, a sampler draws an `Episode`
from a seed and an index, and `collate` turns episodes into arrays for the device.
"""

from metaflax.data.batching._batching import Buckets, collate, collate_texts
from metaflax.data.batching._features import collate_features
from metaflax.data.batching._lazy_collate import ShowingSampler, collate_shown
from metaflax.data.batching._prefetch import prefetch
from metaflax.data.batching._readers import share_out
from metaflax.data.batching._seq2seq_batches import (
    Speech,
    TokenizedPairs,
    collate_candidates,
    collate_pairs,
    collate_prompts,
    tokenize_pairs,
    tokenize_prompts,
)
from metaflax.data.batching._token_codes import TokenCodes, token_codes
from metaflax.data.batching._tokenize import TokenizedTexts, tokenize
from metaflax.data.on_disk._indexing import index_labels, index_texts
from metaflax.data.on_disk._jsonl_store import store_texts
from metaflax.data.on_disk._labelled_texts import LabelledTextSampler, labelled_examples
from metaflax.data.on_disk._text_index import TextIndex
from metaflax.data.raw_text._cloze import Cloze, draw_cloze, whole_words
from metaflax.data.raw_text._clusters import clusters
from metaflax.data.raw_text._masking import (
    Hidden,
    collate_hidden,
    hide_words,
    ordinary_tokens,
)
from metaflax.data.raw_text._packed_text import PackedText, Row
from metaflax.data.raw_text._smlmt import MaskedWordSampler, masked, masked_examples
from metaflax.data.raw_text._swaps import (
    SWAPS,
    SwappedText,
    Swaps,
    read_swaps,
    swap_words,
    swapped_texts,
)
from metaflax.data.raw_text._topics import topics
from metaflax.data.raw_text._word_groups import embedding_clusters, frequency_bands
from metaflax.data.samplers._entities import EntitySampler
from metaflax.data.samplers._episodes import (
    Episode,
    EpisodeSizes,
    Sampler,
    content_hash,
    fixed_list,
    protocol_hash,
)
from metaflax.data.samplers._generation import GenerationSampler
from metaflax.data.samplers._mixture import Mixture, temperature_weights
from metaflax.data.samplers._multilabel import MultiLabelSampler
from metaflax.data.samplers._none_of_the_above import WithNone
from metaflax.data.samplers._numbers import NumberSampler
from metaflax.data.samplers._out_of_scope import WithOutOfScope, out_of_scope_texts
from metaflax.data.samplers._published_episodes import GivenEpisodes, published_sets
from metaflax.data.samplers._questions import QuestionSampler
from metaflax.data.samplers._single_label import EpisodeSampler
from metaflax.data.samplers._variants import Variants, WithVariants
from metaflax.data.sources._embedded import (
    cache_folder,
    fetch_minilm,
    fetch_scored_texts,
    scored_texts,
)
from metaflax.data.sources._examples import Examples
from metaflax.data.sources._more_training import with_more_training
from metaflax.data.sources._sources import read, read_rows, read_texts
from metaflax.data.sources._splits import (
    Splits,
    check_disjoint,
    check_names,
    names_by_file,
    names_by_seed,
    split_by_file,
    split_by_names,
    split_by_seed,
)

__all__ = [
    "SWAPS",
    "Buckets",
    "Cloze",
    "EntitySampler",
    "Episode",
    "EpisodeSampler",
    "EpisodeSizes",
    "Examples",
    "GenerationSampler",
    "GivenEpisodes",
    "Hidden",
    "LabelledTextSampler",
    "MaskedWordSampler",
    "Mixture",
    "MultiLabelSampler",
    "NumberSampler",
    "PackedText",
    "QuestionSampler",
    "Row",
    "Sampler",
    "ShowingSampler",
    "Speech",
    "Splits",
    "SwappedText",
    "Swaps",
    "TextIndex",
    "TokenCodes",
    "TokenizedPairs",
    "TokenizedTexts",
    "Variants",
    "WithNone",
    "WithOutOfScope",
    "WithVariants",
    "cache_folder",
    "check_disjoint",
    "check_names",
    "clusters",
    "collate",
    "collate_candidates",
    "collate_features",
    "collate_hidden",
    "collate_pairs",
    "collate_prompts",
    "collate_shown",
    "collate_texts",
    "content_hash",
    "draw_cloze",
    "embedding_clusters",
    "fetch_minilm",
    "fetch_scored_texts",
    "fixed_list",
    "frequency_bands",
    "hide_words",
    "index_labels",
    "index_texts",
    "labelled_examples",
    "masked",
    "masked_examples",
    "names_by_file",
    "names_by_seed",
    "ordinary_tokens",
    "out_of_scope_texts",
    "prefetch",
    "protocol_hash",
    "published_sets",
    "read",
    "read_rows",
    "read_swaps",
    "read_texts",
    "scored_texts",
    "share_out",
    "split_by_file",
    "split_by_names",
    "split_by_seed",
    "store_texts",
    "swap_words",
    "swapped_texts",
    "temperature_weights",
    "token_codes",
    "tokenize",
    "tokenize_pairs",
    "tokenize_prompts",
    "topics",
    "whole_words",
    "with_more_training",
]
