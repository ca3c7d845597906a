"""Early stopping on a validation score."""

from typing import NamedTuple


class Stopping(NamedTuple):
    """What early stopping remembers; numbers only, so that JSON keeps it.

    Attributes:
      best: the highest score so far, None before the first.
      best_step: the step it was reached at.
      waited: validations since.
    """

    best: float | None = None
    best_step: int = 0
    waited: int = 0

    def update(self, score: float, step: int) -> "Stopping":
        """The memory after one more validation; only a higher score is better.

        Examples:
          >>> Stopping().update(0.5, 10).update(0.4, 20)
          Stopping(best=0.5, best_step=10, waited=1)
        """
        if self.best is None or score > self.best:
            return Stopping(score, step, 0)
        return self._replace(waited=self.waited + 1)

    def should_stop(self, patience: int | None) -> bool:
        """Whether `patience` validations brought nothing better; None never stops."""
        return patience is not None and self.waited >= patience
