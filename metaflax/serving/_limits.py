"""Limits of the service."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Limits:
    """Limits on the size, number and duration of requests.

    Examples:
      >>> from metaflax import serving
      >>> serving.Limits(max_texts=64).max_waiting_texts
      2048
      >>> serving.Limits(max_waiting_texts=8)
      Traceback (most recent call last):
        ...
      ValueError: max_waiting_texts is 8; give at least max_texts, 256.
    """

    max_body_bytes: int = 4_000_000
    """Largest request body in bytes."""
    max_examples: int = 2_000
    """Most examples of a task."""
    max_texts: int = 256
    """Most texts of a prediction."""
    max_text_chars: int = 20_000
    """Most characters of a text; a label has at most 200."""
    max_tasks: int = 1_000
    """Most tasks of a tenant."""
    max_requests_per_minute: int = 6_000
    """Most requests of a tenant in a minute."""
    max_waiting_texts: int = 2_048
    """Most texts that wait for the encoder; further requests are answered with 429."""
    max_waiting_adaptations: int = 64
    """Most adaptations, evaluations and downloads that run or wait, and as many
    suggestions and explanations; further requests are answered with 429."""
    deadline_seconds: float = 30.0
    """Longest time that a prediction, or the body of a request, may take."""
    adaptation_deadline_seconds: float = 300.0
    """Longest time that an adaptation, evaluation, suggestion or explanation takes."""

    def __post_init__(self):
        for field in dataclasses.fields(self):
            if not (value := getattr(self, field.name)) > 0:
                raise ValueError(f"{field.name} is {value}; give more than 0.")
        if self.max_waiting_texts < self.max_texts:
            raise ValueError(
                f"max_waiting_texts is {self.max_waiting_texts}; give at least"
                f" max_texts, {self.max_texts}."
            )
