"""From labelled text to batches of episodes, on the host.

`read` gives `Examples`, a split makes `Splits` of them, a sampler draws an `Episode`
from a seed and an index, and `collate` turns episodes into arrays for the device.
"""

from metaflax.data.batching._batching import Buckets, collate, collate_texts
from metaflax.data.batching._lazy_collate import collate_lazy
from metaflax.data.batching._prefetch import prefetch
from metaflax.data.batching._readers import share_out
from metaflax.data.batching._tokenize import TokenizedTexts, tokenize
from metaflax.data.on_disk._indexing import index_labels, index_texts
from metaflax.data.on_disk._jsonl_store import store_texts
from metaflax.data.on_disk._labelled_texts import LabelledTextSampler, labelled_examples
from metaflax.data.raw_text._clusters import clusters
from metaflax.data.raw_text._smlmt import MaskedWordSampler, masked
from metaflax.data.raw_text._swaps import SWAPS
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
from metaflax.data.samplers._mixture import Mixture
from metaflax.data.samplers._multilabel import MultiLabelSampler
from metaflax.data.samplers._none_of_the_above import WithNone
from metaflax.data.samplers._numbers import NumberSampler
from metaflax.data.samplers._out_of_scope import WithOutOfScope
from metaflax.data.samplers._published_episodes import FixedEpisodes, published_sets
from metaflax.data.samplers._questions import QuestionSampler
from metaflax.data.samplers._single_label import EpisodeSampler
from metaflax.data.samplers._variants import Variants, WithVariants
from metaflax.data.sources._embedded import cache_folder, fetch_minilm, scored_texts
from metaflax.data.sources._examples import Examples
from metaflax.data.sources._more_training import with_more_training
from metaflax.data.sources._sources import read, read_rows, read_texts
from metaflax.data.sources._splits import (
    Splits,
    check_disjoint,
    names_by_seed,
    split_by_file,
    split_by_names,
    split_by_seed,
)

__all__ = [
    "SWAPS",
    "Buckets",
    "EntitySampler",
    "Episode",
    "EpisodeSampler",
    "EpisodeSizes",
    "Examples",
    "FixedEpisodes",
    "GenerationSampler",
    "LabelledTextSampler",
    "MaskedWordSampler",
    "Mixture",
    "MultiLabelSampler",
    "NumberSampler",
    "QuestionSampler",
    "Sampler",
    "Splits",
    "TokenizedTexts",
    "Variants",
    "WithNone",
    "WithOutOfScope",
    "WithVariants",
    "cache_folder",
    "check_disjoint",
    "clusters",
    "collate",
    "collate_lazy",
    "collate_texts",
    "content_hash",
    "embedding_clusters",
    "fetch_minilm",
    "fixed_list",
    "frequency_bands",
    "index_labels",
    "index_texts",
    "labelled_examples",
    "masked",
    "names_by_seed",
    "prefetch",
    "protocol_hash",
    "published_sets",
    "read",
    "read_rows",
    "read_texts",
    "scored_texts",
    "share_out",
    "split_by_file",
    "split_by_names",
    "split_by_seed",
    "store_texts",
    "tokenize",
    "topics",
    "with_more_training",
]
