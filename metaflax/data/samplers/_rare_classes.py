"""Classes with too few texts for an episode."""

import dataclasses

from metaflax._wording import counted
from metaflax.data.samplers import _pools
from metaflax.data.sources._examples import Examples


def without_rare_classes(examples: Examples, least: int) -> Examples:
    """Leaves out classes with fewer than `least` different texts.

    Args:
      examples: examples whose labels are classes.
      least: number of texts that an episode takes of a class.

    Returns:
      The examples without these labels and without the texts that have no other. Their
      notes name and count what was left out. A class is counted in each domain apart.

    Examples:
      >>> pets = Examples("pets", ("a", "b", "c"), (("dog",), ("dog",), ("cat",)))
      >>> kept = without_rare_classes(pets, 2)
      >>> kept.texts
      ('a', 'b')
      >>> print(*kept.notes)
      pets: 1 class with fewer than 2 different texts, 1 in all: 'cat' (1); left out.
    """
    counts = _pools.count_texts(examples)
    rare = {key: count for key, count in counts.items() if count < least}
    if not rare:
        return examples
    domains = examples.domains or (None,) * len(examples)
    labels = [
        tuple(name for name in names if (domain, name) not in rare)
        for domain, names in zip(domains, examples.labels, strict=True)
    ]
    kept = [row for row, names in enumerate(labels) if names]
    counted_names = [
        f"{name!r}{'' if domain is None else f' of domain {domain!r}'} ({count})"
        for (domain, name), count in sorted(rare.items(), key=str)
    ]
    classes = counted(len(rare), "class", "classes")
    note = (
        f"{examples.name}: {classes} with fewer than {least} different texts,"
        f" {len(examples) - len(kept)} in all: {', '.join(counted_names)}; left out."
    )
    named = dataclasses.replace(
        examples.select(kept), labels=tuple(labels[row] for row in kept)
    )
    return dataclasses.replace(named, notes=(*examples.notes, note))
