"""Early stopping on a validation score."""

from typing import NamedTuple


class Stopping(NamedTuple):
    """State of early stopping, as numbers that JSON can store.

    Attributes:
      best: highest score so far; None before the first validation.
      best_step: step of the highest score.
      waited: number of validations since then.
    """

    best: float | None = None
    best_step: int = 0
    waited: int = 0

    def update(self, score: float, step: int) -> "Stopping":
        """Returns the state after a validation; an equal score is no improvement.

        Examples:
          >>> Stopping().update(0.5, 10).update(0.4, 20)
          Stopping(best=0.5, best_step=10, waited=1)
        """
        if self.best is None or score > self.best:
            return Stopping(score, step, 0)
        return self._replace(waited=self.waited + 1)

    def should_stop(self, patience: int | None) -> bool:
        """Returns whether `patience` validations brought no improvement."""
        return patience is not None and self.waited >= patience
