"""Counter of compiled programs.

The size of a jitted function's cache does not serve: it is private to jax, and was once
smaller than the number of programs that a test had just compiled.
"""

from jax import monitoring

COMPILED = "/jax/core/compile/backend_compile_duration"


class Compilations:
    """Counts compilations from its construction until `close`, in all threads."""

    def __init__(self) -> None:
        self.count = 0
        monitoring.register_event_duration_secs_listener(self._listen)

    def close(self) -> None:
        monitoring.unregister_event_duration_listener(self._listen)

    def _listen(self, event: str, *_, **__) -> None:
        self.count += event == COMPILED
