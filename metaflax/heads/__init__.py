"""Output layers that are fitted to a support set."""

from metaflax.heads._balanced import balanced as balanced
from metaflax.heads._centred import (
    centred_logistic_regression as centred_logistic_regression,
)
from metaflax.heads._centred import centred_prototypes as centred_prototypes
from metaflax.heads._choice import linear_choice as linear_choice
from metaflax.heads._choice import ridge_choice as ridge_choice
from metaflax.heads._cosine_prototypes import cosine_prototypes as cosine_prototypes
from metaflax.heads._detected import detected as detected
from metaflax.heads._gaussian import gaussian as gaussian
from metaflax.heads._identity import identity as identity
from metaflax.heads._label_propagation import label_propagation as label_propagation
from metaflax.heads._leopard import leopard as leopard
from metaflax.heads._linear import linear as linear
from metaflax.heads._logistic_regression import (
    logistic_regression as logistic_regression,
)
from metaflax.heads._matching import matching as matching
from metaflax.heads._nearest import nearest as nearest
from metaflax.heads._none import with_none as with_none
from metaflax.heads._prototypes import label_prototypes as label_prototypes
from metaflax.heads._prototypes import prototypes as prototypes
from metaflax.heads._regression import linear_regression as linear_regression
from metaflax.heads._regression import ridge_regression as ridge_regression
from metaflax.heads._relation import relation as relation
from metaflax.heads._ridge import ridge as ridge
from metaflax.heads._soft_k_means import soft_k_means as soft_k_means
from metaflax.heads._span import span as span
from metaflax.heads._tokens import per_token as per_token
from metaflax.heads._zeros import zeros as zeros

__all__ = [
    "balanced",
    "centred_logistic_regression",
    "centred_prototypes",
    "cosine_prototypes",
    "detected",
    "gaussian",
    "identity",
    "label_propagation",
    "label_prototypes",
    "leopard",
    "linear",
    "linear_choice",
    "linear_regression",
    "logistic_regression",
    "matching",
    "nearest",
    "per_token",
    "prototypes",
    "relation",
    "ridge",
    "ridge_choice",
    "ridge_regression",
    "soft_k_means",
    "span",
    "with_none",
    "zeros",
]
