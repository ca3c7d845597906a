"""Model, data, episodes, evaluator and directory of a run."""

__all__ = ()
