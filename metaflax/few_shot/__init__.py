"""Tasks learned from a few examples in memory: scikit-learn estimators.

Each name loads its module when it is first used.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from metaflax.few_shot._classifier import FewShotClassifier as FewShotClassifier
    from metaflax.few_shot._regressor import FewShotRegressor as FewShotRegressor
    from metaflax.few_shot._tagger import FewShotTagger as FewShotTagger

# The module of each name.
_MODULE_OF = {
    "FewShotClassifier": "_classifier",
    "FewShotRegressor": "_regressor",
    "FewShotTagger": "_tagger",
}

__all__ = [
    "FewShotClassifier",
    "FewShotRegressor",
    "FewShotTagger",
]


def __getattr__(name: str):
    """Loads the module of a name when it is first used."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'metaflax.few_shot' has no attribute {name!r}")
    module = importlib.import_module(f"metaflax.few_shot.{_MODULE_OF[name]}")
    return globals().setdefault(name, getattr(module, name))


def __dir__():
    """Lists the public names, whether they are loaded or not."""
    return __all__
