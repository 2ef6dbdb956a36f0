"""From a prompt to the rows the decoder reads: text rows from the table, image rows from the adaptor."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from edge_runtime.backends.backend import Array
from edge_runtime.prompt import PromptTokens
from edge_runtime.table import Table


class EmbeddedPrompt:
    """A prompt whose rows are made when asked for: the table stays on disk until a row of it is read.

    `images` holds one (tokens, D) array per image of the prompt, `digests` the images' content hashes.
    """

    def __init__(
        self, prompt: PromptTokens, table: Table, images: Sequence[Array], digests: Sequence[bytes]
    ) -> None:
        assert len(images) == len(prompt.image_spans), "one embedded image per place"
        self.prompt = prompt
        self.keys: tuple[Hashable, ...] = prompt.keys(digests)
        self._table = table
        self._images = images
        self._ids = np.asarray(prompt.ids, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.prompt)

    def rows(self, start: int, stop: int) -> Array:
        """Rows start..stop of the prompt, (1, stop - start, D)."""
        # An adaptor in fp32 may say what a table in fp16 cannot hold.
        dtype = np.result_type(self._table.dtype, *self._images)
        rows = self._table[self._ids[start:stop]].astype(dtype)
        for first, image in self.prompt.image_spans:
            low, high = max(start, first), min(stop, first + self.prompt.image_tokens)
            if low < high:
                rows[low - start : high - start] = self._images[image][low - first : high - first]
        return rows[None]
