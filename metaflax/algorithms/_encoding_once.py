"""No forward pass twice: where the encoder does not adapt, each text runs once."""

from metaflax import base, tree


def given_features(params, features, key=None):
    """The encoder of inputs that are features already."""
    del params, key
    return features


def encoding_once(
    encode_fn: base.ApplyFn,
    adapts: tree.Where,
    *,
    on_inputs: base.MetaAlgorithm,
    on_features: base.MetaAlgorithm,
) -> base.MetaAlgorithm:
    """An algorithm that encodes support and query together, once, where it may.

    Inner steps that leave the encoder as it is see features only, and support and
    query then share one forward pass. Under `vmap` over tasks their products become
    one, since all tasks have the same weights.

    Args:
      encode_fn: the encoder.
      adapts: what inner steps change.
      on_inputs: the algorithm on `encode_fn`.
      on_features: the same on `given_features`.

    Returns:
      The algorithm: `on_features` of encoded inputs where no leaf of the encoder
      adapts, else `on_inputs`.
    """
    chosen = tree.where(adapts)

    def is_shared(params):
        encoder = {"encoder": params["encoder"]}
        return tree.is_empty(tree.select(encoder, chosen))

    def adapt(params, support, key=None):
        if not is_shared(params):
            return on_inputs.adapt(params, support, key)
        encode_key, inner_key = base.split_key(key)
        features = encode_fn(params["encoder"], support.inputs, encode_key)
        support = support._replace(inputs=features)
        return on_features.adapt(params, support, inner_key)

    def loss(params, task, key=None, step=None):
        if not is_shared(params):
            return on_inputs.loss(params, task, key, step)
        encode_key, loss_key = base.split_key(key)
        support, query = task
        inputs = base.concatenate(support.inputs, query.inputs)
        features = encode_fn(params["encoder"], inputs, encode_key)
        num_support = support.weights.shape[0]
        parts = base.Task(
            support._replace(inputs=features[:num_support]),
            query._replace(inputs=features[num_support:]),
        )
        return on_features.loss(params, parts, loss_key, step)

    return on_inputs._replace(adapt=adapt, loss=loss)
