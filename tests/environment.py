"""Environments of the subprocesses that tests start."""

import os


def with_devices(count: int) -> dict[str, str]:
    """Returns this process's environment with another number of CPU devices."""
    flags = os.environ.get("XLA_FLAGS", "")
    flags += f" --xla_force_host_platform_device_count={count}"  # The last one holds.
    return os.environ | {"XLA_FLAGS": flags}
