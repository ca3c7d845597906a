"""From labelled text to batches of episodes, on the host.

`read` gives `Examples`, a split makes `Splits` of them, a sampler draws an `Episode`
from a seed and an index, and `collate` turns episodes into arrays for the device.
"""

from metaflax.data._batching import Buckets, collate, collate_texts
from metaflax.data._cloze import Cloze, draw_cloze, whole_words
from metaflax.data._clusters import clusters
from metaflax.data._embedded import (
    cache_folder,
    fetch_minilm,
    fetch_scored_texts,
    scored_texts,
)
from metaflax.data._entities import EntitySampler
from metaflax.data._episodes import (
    Episode,
    EpisodeSizes,
    Sampler,
    content_hash,
    fixed_list,
    protocol_hash,
)
from metaflax.data._examples import Examples
from metaflax.data._features import collate_features
from metaflax.data._generation import GenerationSampler
from metaflax.data._given import GivenEpisodes, published_sets
from metaflax.data._indexing import index_labels, index_texts
from metaflax.data._labelled_texts import LabelledTextSampler, labelled_examples
from metaflax.data._masked_words import MaskedWordSampler, masked, masked_examples
from metaflax.data._masking import (
    Hidden,
    collate_hidden,
    hide_words,
    ordinary_tokens,
)
from metaflax.data._mixture import Mixture, temperature_weights
from metaflax.data._more_training import with_more_training
from metaflax.data._multilabel import MultiLabelSampler
from metaflax.data._none import WithNone
from metaflax.data._numbers import NumberSampler
from metaflax.data._out_of_scope import WithOutOfScope, out_of_scope_texts
from metaflax.data._packed_text import PackedText, Row
from metaflax.data._pairs import (
    Speech,
    TokenizedPairs,
    collate_candidates,
    collate_pairs,
    collate_prompts,
    tokenize_pairs,
    tokenize_prompts,
)
from metaflax.data._prefetch import prefetch
from metaflax.data._questions import QuestionSampler
from metaflax.data._readers import share_out
from metaflax.data._shown import ShowingSampler, collate_shown
from metaflax.data._single_label import EpisodeSampler
from metaflax.data._sources import read, read_rows, read_texts
from metaflax.data._splits import (
    Splits,
    check_disjoint,
    check_names,
    names_by_file,
    names_by_seed,
    split_by_file,
    split_by_names,
    split_by_seed,
)
from metaflax.data._stored import store_texts
from metaflax.data._swaps import (
    SWAPS,
    SwappedText,
    Swaps,
    read_swaps,
    swap_words,
    swapped_texts,
)
from metaflax.data._text_index import TextIndex
from metaflax.data._token_codes import TokenCodes, token_codes
from metaflax.data._tokenize import TokenizedTexts, tokenize
from metaflax.data._topics import topics
from metaflax.data._variants import Variants, WithVariants
from metaflax.data._word_groups import embedding_clusters, frequency_bands

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
