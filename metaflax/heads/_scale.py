"""Positive parameters that the outer loop learns on a log scale."""

import jax
import jax.numpy as jnp


def check_positive(name: str, value: float) -> None:
    """Raises ValueError if a value is not positive."""
    if not value > 0:
        raise ValueError(f"the {name} is above 0, got {value}.")


def log(value: float) -> jax.Array:
    """Returns the logarithm of a value as a parameter."""
    return jnp.log(jnp.asarray(value, float))
