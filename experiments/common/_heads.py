"""Capabilities of heads by name."""

from metaflax import config as config_lib
from metaflax.workflows.runs import _protocol


def takes_unlabelled(head: str) -> bool:
    """Returns whether a head of classifiers also learns from texts without labels.

    Raises:
      ValueError: if there is no such head.

    Examples:
      >>> [takes_unlabelled(head) for head in ("prototypes", "soft_k_means", "auto")]
      [False, True, False]
    """
    if head == "auto":  # It chooses among heads that do not.
        return False
    algorithm = config_lib.AlgorithmConfig("frozen", head=head)
    return _protocol.takes_unlabelled(config_lib.Config(algorithm=algorithm))
