"""Errors of the service, as HTTP responses."""

from collections.abc import Mapping
from typing import Any


class ApiError(Exception):
    """Error that becomes the response to a request.

    Attributes:
      status: HTTP status.
      code: short name of the error, for programs.
      message: one sentence, for people.
      details: further fields of the response.
      headers: HTTP headers of the response.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        details: Any = None,
        headers: Mapping[str, str] | None = None,
    ):
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.details, self.headers = details, dict(headers or {})

    def content(self) -> dict[str, Any]:
        """Returns the body of the response."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.details is not None:
            error["details"] = self.details
        return {"error": error}


def busy(what: str, seconds: int = 1) -> ApiError:
    """Returns the error of a full queue."""
    return ApiError(
        429,
        "busy",
        f"too many {what} are waiting; try again in {seconds} s.",
        headers={"Retry-After": str(seconds)},
    )


def late() -> ApiError:
    """Returns the error of a deadline that has passed."""
    return ApiError(
        504, "deadline", "the answer took too long; send fewer texts, or try again."
    )


def unknown_task() -> ApiError:
    """Returns the error of a task that the tenant does not have."""
    return ApiError(404, "unknown_task", "there is no task with this id.")
