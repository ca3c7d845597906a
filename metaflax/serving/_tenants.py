"""Tenants: bearer tokens and rate limits."""

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from metaflax.serving._errors import ApiError

# The tenant of a service without tokens.
ANYONE = "anyone"
LEAST_TOKEN = 16


class Tenants:
    """Identifies tenants by their bearer tokens.

    Args:
      tokens: token of each tenant; None if all requests are those of one tenant.

    Raises:
      ValueError: if there is no token, a token is too short, or two are equal.
    """

    def __init__(self, tokens: Mapping[str, str] | None):
        if tokens is not None:
            _check(tokens)
        self._digests = None if tokens is None else {
            name: _digest(token) for name, token in tokens.items()
        }  # fmt: skip

    @classmethod
    def read(cls, path: str | Path | None) -> "Tenants":
        """Reads a JSON file of tokens by the names of tenants.

        Raises:
          ValueError: if it cannot be read or used.
        """
        if path is None:
            return cls(None)
        try:
            content = json.loads(Path(path).expanduser().read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(f"{path}: cannot be read as JSON ({error}).") from None
        strings = isinstance(content, dict) and all(
            isinstance(token, str) for token in content.values()
        )
        if not strings:
            raise ValueError(
                f'{path}: write an object of tokens by tenant, {{"name": "token"}}.'
            )
        try:
            return cls(content)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    @property
    def open(self) -> bool:
        """True if requests need no token."""
        return self._digests is None

    def tenant(self, authorization: str | None) -> str:
        """Returns the tenant of an `Authorization` header.

        Raises:
          ApiError: if it identifies no tenant.
        """
        if self._digests is None:
            return ANYONE
        scheme, _, token = (authorization or "").partition(" ")
        digest, tenant = _digest(token.strip()), None
        for name, known in self._digests.items():  # All, against timing attacks.
            if hmac.compare_digest(digest, known):
                tenant = name
        if tenant is None or scheme.lower() != "bearer":
            raise ApiError(
                401,
                "unauthorized",
                "send the header `Authorization: Bearer TOKEN` with a known token.",
                headers={"WWW-Authenticate": "Bearer"},
            )
        return tenant


class RateLimit:
    """Limits the requests of each tenant per minute, by a token bucket.

    Args:
      per_minute: largest number of requests per minute, and in a burst.
      clock: function that returns the time in seconds.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic):
        self._most, self._clock = per_minute, clock
        self._buckets: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def take(self, tenant: str) -> None:
        """Counts a request.

        Raises:
          ApiError: if there are too many.
        """
        rate = self._most / 60
        with self._lock:
            now = self._clock()
            left, before = self._buckets.get(tenant, (float(self._most), now))
            left = min(self._most, left + (now - before) * rate)
            allowed = left >= 1
            self._buckets[tenant] = (left - allowed, now)
        if not allowed:
            seconds = max(1, round((1 - left) / rate))
            raise ApiError(
                429,
                "rate",
                f"there are more than {self._most} requests a minute; try again in"
                f" {seconds} s.",
                headers={"Retry-After": str(seconds)},
            )


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _check(tokens: Mapping[str, str]) -> None:
    if not tokens:
        raise ValueError("there is no token; give one for each tenant.")
    for name, token in tokens.items():
        if len(token) < LEAST_TOKEN or token.split() != [token]:
            raise ValueError(
                f"the token of {name!r} is short or has spaces; give {LEAST_TOKEN}"
                " characters or more, such as `openssl rand -hex 16` makes."
            )
    if len(set(tokens.values())) < len(tokens):
        raise ValueError("two tenants have the same token; give each its own.")
