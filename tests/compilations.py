"""How many programs are compiled while a test runs some of its code.

The size of a jitted function's cache is no such count: it is private to jax, and was
once smaller than the number of programs that a test had just compiled.
"""

from jax import monitoring

COMPILED = "/jax/core/compile/backend_compile_duration"


class Compilations:
    """Compilations from its making until `close`, in all threads of the process."""

    def __init__(self) -> None:
        self.count = 0
        monitoring.register_event_duration_secs_listener(self._listen)

    def close(self) -> None:
        monitoring.unregister_event_duration_listener(self._listen)

    def _listen(self, event: str, *_, **__) -> None:
        self.count += event == COMPILED
