"""transformers as the judge: it sees our pixels and our prompt ids, and none of our code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import PreTrainedModel

from edge_runtime.preprocess import Pixels

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Oracle:
    """A transformers model in fp32 and eval mode."""

    model: PreTrainedModel

    @torch.inference_mode()
    def logits(self, ids: Sequence[int], pixels: Sequence[Pixels] = ()) -> Floats:
        """Every row's logits (S, V), nothing cached."""
        found: Tensor = self.model(**self.inputs(ids, pixels), use_cache=False).logits
        return found[0].numpy()

    @torch.inference_mode()
    def greedy(
        self, ids: Sequence[int], pixels: Sequence[Pixels] = (), limit: int = 32, penalty: float = 1.0
    ) -> tuple[int, ...]:
        """At most `limit` ids by transformers' own generation, the end token included."""
        settings = {"max_new_tokens": limit, "do_sample": False, "repetition_penalty": penalty}
        whole: Tensor = self.model.generate(**self.inputs(ids, pixels), **settings)
        return tuple(whole[0, len(ids) :].tolist())

    @torch.inference_mode()
    def image_rows(self, pixels: Pixels) -> Floats:
        """One picture as the decoder sees it (tokens, D)."""
        found: Tensor = self.model.model.get_image_features(**pixel_inputs([pixels])).pooler_output
        return found[0].numpy()

    def inputs(self, ids: Sequence[int], pixels: Sequence[Pixels]) -> dict[str, Any]:
        input_ids = torch.tensor([list(ids)])
        found: dict[str, Any] = {"input_ids": input_ids, "attention_mask": torch.ones_like(input_ids)}
        return found | (pixel_inputs(pixels) if pixels else {})


def pixel_inputs(pixels: Sequence[Pixels]) -> dict[str, Tensor]:
    found = {"pixel_values": torch.from_numpy(np.stack([each.low for each in pixels]))}
    high = [each.high for each in pixels if each.high is not None]
    return found | ({"high_res_pixel_values": torch.from_numpy(np.stack(high))} if high else {})
