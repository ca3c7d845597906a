"""Relative errors of meta-gradients, leaf by leaf, against one in float64.

Usage: python experiments/benchmark/gradients.py EXACT.npz NAME.npz ...

The files are those that run.py, base_size.py and programs in torch write by `--save`:
leaves under Hugging Face's names. The first is the reference. The error of a leaf is
the norm of the difference divided by the norm of the leaf in the reference. Leaves
whose gradient is zero, as those of the biases of keys, which attention does not depend
on, are counted and left out.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

# Relative to the norm of the whole gradient. Leaves below it count as zero.
ZERO = 1e-12


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("exact", type=Path)
    parser.add_argument("others", type=Path, nargs="+")
    args = parser.parse_args()
    try:
        exact = read(args.exact)
        for path in args.others:
            print(f"{path.stem}: {described(errors(exact, read(path)))}")
    except (OSError, ValueError) as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 2
    return 0


def read(path: Path) -> dict[str, np.ndarray]:
    """Reads the leaves of a file, and the loss."""
    with np.load(path) as file:
        return {name: file[name].astype(np.float64) for name in file.files}


def errors(
    exact: dict[str, np.ndarray], other: dict[str, np.ndarray]
) -> dict[str, float]:
    """Computes relative errors: of the `loss`, of `all` leaves as one, of each leaf.

    A leaf that only one of the two has must be zero, as that of an unused weight.

    Raises:
      ValueError: if leaves differ in name or shape.
    """
    both = exact.keys() & other.keys()
    differing = [n for n in both if exact[n].shape != other[n].shape]
    for held in (exact, other):
        differing += [n for n in held.keys() - both if held[n].any()]
    if differing:
        names = ", ".join(sorted(differing)[:5])
        raise ValueError(f"leaves differ in name or shape: {names}.")
    exact, other = ({n: held[n] for n in sorted(both)} for held in (exact, other))
    losses = exact.pop("loss"), other.pop("loss")
    relative = {"loss": float(abs(losses[1] - losses[0]) / abs(losses[0]))}
    norms = {name: float(np.linalg.norm(x)) for name, x in exact.items()}
    gaps = {name: float(np.linalg.norm(other[name] - x)) for name, x in exact.items()}
    whole = np.linalg.norm([*norms.values()])
    relative["all"] = float(np.linalg.norm([*gaps.values()]) / whole)
    kept = (name for name in exact if norms[name] > ZERO * whole)
    return relative | {name: gaps[name] / norms[name] for name in kept}


def described(relative: dict[str, float]) -> str:
    """Formats the errors of all and of the worst leaf, and how many are below 1e-5."""
    leaves = {n: error for n, error in relative.items() if n not in ("loss", "all")}
    worst = max(leaves, key=lambda name: leaves[name])
    good = sum(error <= 1e-5 for error in leaves.values())
    return (
        f"loss {relative['loss']:.1e}, all leaves {relative['all']:.1e}, worst leaf"
        f" {leaves[worst]:.1e} ({worst}), median leaf"
        f" {np.median([*leaves.values()]):.1e}, {good} of {len(leaves)} within 1e-5"
    )


if __name__ == "__main__":
    sys.exit(main())
