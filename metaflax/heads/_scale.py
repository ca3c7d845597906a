"""Numbers above 0 that the outer loop learns on a log scale."""

import jax
import jax.numpy as jnp


def check_positive(name: str, value: float) -> None:
    """Refuses a number that has no logarithm, naming it."""
    if not value > 0:
        raise ValueError(f"the {name} is above 0, got {value}.")


def log(value: float) -> jax.Array:
    """The logarithm, as a parameter."""
    return jnp.log(jnp.asarray(value, float))
