"""The package `onnx`, which is an extra."""

from typing import Any


def onnx_package() -> Any:
    """Imports the package.

    Raises:
      ValueError: if it is not installed.
    """
    try:
        import onnx
    except ImportError:
        raise ValueError(
            "ONNX export needs onnx; run `pip install 'metaflax[onnx]'`."
        ) from None
    return onnx
