"""Target kinds: sampling, conversion to arrays and reporting of targets.

A task type names its kind in `TaskType.kind`; one of a user's package brings its own in
`TaskType.target_kind`. Everything that depends on the kind is in one object here.
"""

from metaflax.target_kinds._base import TargetKind as TargetKind
from metaflax.target_kinds._table import TARGET_KINDS as TARGET_KINDS
from metaflax.target_kinds._table import of as of

__all__ = [
    "TARGET_KINDS",
    "TargetKind",
    "of",
]
