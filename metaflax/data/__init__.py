"""From labelled text to batches of episodes, on the host.

`read` gives `Examples`, a split makes `Splits` of them, a sampler draws an `Episode`
from a seed and an index, and `collate` turns episodes into arrays for the device.
"""

from metaflax._files import cache_folder
from metaflax.data.batching._batching import Buckets, collate, collate_texts
from metaflax.data.batching._lazy_collate import collate_lazy
from metaflax.data.batching._prefetch import prefetch
from metaflax.data.batching._readers import share_out
from metaflax.data.batching._tokenize import TokenizedTexts, tokenize
from metaflax.data.on_disk._indexing import index_labels, index_texts
from metaflax.data.on_disk._jsonl_store import store_texts
from metaflax.data.on_disk._labelled_texts import LabelledTextSampler
from metaflax.data.raw_text._smlmt import MaskedWordSampler, masked
from metaflax.data.raw_text._swaps import SWAPS
from metaflax.data.raw_text._topics import topics
from metaflax.data.raw_text._word_groups import frequency_bands
from metaflax.data.samplers._episodes import Episode, Sampler, fixed_list, protocol_hash
from metaflax.data.samplers._published_episodes import FixedEpisodes, published_sets
from metaflax.data.samplers._questions import QuestionSampler
from metaflax.data.samplers._single_label import EpisodeSampler
from metaflax.data.sources._embedded import fetch_minilm, scored_texts
from metaflax.data.sources._examples import Examples
from metaflax.data.sources._input_texts import read_texts
from metaflax.data.sources._labelled import read
from metaflax.data.sources._sources import read_rows
from metaflax.data.sources._splits import Splits, names_by_seed, split_by_file

__all__ = [
    "SWAPS",
    "Buckets",
    "Episode",
    "EpisodeSampler",
    "Examples",
    "FixedEpisodes",
    "LabelledTextSampler",
    "MaskedWordSampler",
    "QuestionSampler",
    "Sampler",
    "Splits",
    "TokenizedTexts",
    "cache_folder",
    "collate",
    "collate_lazy",
    "collate_texts",
    "fetch_minilm",
    "fixed_list",
    "frequency_bands",
    "index_labels",
    "index_texts",
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
    "store_texts",
    "tokenize",
    "topics",
]
