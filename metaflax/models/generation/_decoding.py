"""Decoding settings of generative language models, and the decoder that they make.

Evaluation, prediction and the command line take all fields from here, so that a further
setting is a field, its check and its use in `decoder`.
"""

import dataclasses
from collections.abc import Sequence

from metaflax.models.generation._beam_search import beam_search
from metaflax.models.generation._generate import GenerateFn, greedy
from metaflax.models.generation._language_model import LanguageModel


@dataclasses.dataclass(frozen=True)
class DecodingConfig:
    """Decoding settings of a generative model.

    Examples:
      >>> from metaflax import config
      >>> config.DecodingConfig(num_beams=4).check()
      >>> config.DecodingConfig(num_beams=0).check()
      Traceback (most recent call last):
        ...
      ValueError: num_beams is 0; give 1 or more.
    """

    num_beams: int = 1
    """Beams of beam search when a text is generated; 1 decodes greedily."""
    repetition_penalty: float = 1.0
    """Factor above 1 that makes tokens already generated less likely; 1 for none."""

    def check(self) -> None:
        """Raises ValueError for settings that decode nothing."""
        if self.num_beams < 1:
            raise ValueError(f"num_beams is {self.num_beams}; give 1 or more.")
        if not self.repetition_penalty > 0:
            raise ValueError(
                f"repetition_penalty is {self.repetition_penalty}; give a number above"
                " 0, 1 for none."
            )

    def decoder(
        self,
        model: LanguageModel,
        *,
        max_new: int,
        end: int | Sequence[int] | None,
        pad: int = 0,
    ) -> GenerateFn:
        """Returns greedy decoding, or a beam search.

        Args:
          model: generative model, such as `gpt` or `llama` builds.
          max_new: new tokens T, at most.
          end: the id that ends a text, or several any of which does; None for texts of
            T tokens.
          pad: the id that fills texts up.

        Raises:
          ValueError: if a setting decodes nothing.
        """
        penalty = self.repetition_penalty
        if self.num_beams == 1:
            return greedy(
                model, max_new=max_new, end=end, pad=pad, repetition_penalty=penalty
            )
        return beam_search(
            model,
            max_new=max_new,
            num_beams=self.num_beams,
            end=end,
            pad=pad,
            repetition_penalty=penalty,
        )
