"""The networks of encoders against Hugging Face's, in torch."""

import numpy as np
import pytest

from metaflax import models
from tests.models.examples import packed
from tests.models.families import networks
from tests.models.families.networks import assert_close

torch = pytest.importorskip("torch")


@pytest.mark.parametrize(("name", "fields"), networks.ALL, ids=networks.IDS)
def test_hidden_states_are_those_of_torch(name, fields, tmp_path):
    config = networks.make_config(name, fields)
    model = networks.torch_model(config)
    model.save_pretrained(tmp_path)
    loaded = models.load(tmp_path)
    assert (loaded.family.model_type, loaded.config) == (name, config)
    # Far beyond windows and buckets where there are as many positions.
    far = config.max_position_embeddings > 100
    length = 150 if far else 12
    tokens = networks.random_tokens(config, (length, 4, 9), length=length, left=(2,))
    with torch.no_grad():
        theirs = model(**networks.inputs(tokens)).last_hidden_state.numpy()
    ours = networks.features(
        config, loaded.params, packed(tokens, length + 20), pooling="tokens"
    )
    real = np.asarray(tokens.mask)[:, :, None]
    assert_close(ours * real, theirs * real)
