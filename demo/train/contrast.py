"""The low tower's task: which caption belongs to which picture, pair by pair, as SigLIP learnt."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MOST_WORDS = 32
START_SCALE, START_SHIFT = 10.0, -10.0  # the paper's


class Contrast(nn.Module):
    """A small text tower and the two learnt numbers of the sigmoid loss; thrown away afterwards."""

    def __init__(self, vocab: int, picture_width: int, width: int = 128, layers: int = 2) -> None:
        super().__init__()
        self.words = nn.Embedding(vocab, width)
        self.places = nn.Parameter(torch.randn(MOST_WORDS, width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            width, 4, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.text = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.from_text = nn.Linear(width, width)
        self.glance = nn.Linear(picture_width, 4)  # where in the picture to look, four times
        self.from_picture = nn.Linear(4 * picture_width, width)
        self.scale = nn.Parameter(torch.tensor(START_SCALE).log())
        self.shift = nn.Parameter(torch.tensor(START_SHIFT))

    def forward(self, features: Tensor, ids: Tensor) -> Tensor:
        """Tower features (B, T, W) and caption ids (B, L), 0 where there is none -> the similarity (B, B)."""
        empty = ids == 0
        words = self.text(self.words(ids) + self.places[: ids.shape[1]], src_key_padding_mask=empty)
        text = (words * ~empty[..., None]).sum(1) / (~empty).sum(1, keepdim=True)
        looks = self.glance(features).softmax(dim=1)  # (B, T, 4)
        seen = torch.einsum("btk,btw->bkw", looks, features).flatten(1)
        left = F.normalize(self.from_picture(seen), dim=-1)
        right = F.normalize(self.from_text(text), dim=-1)
        logits: Tensor = left @ right.t() * self.scale.exp() + self.shift
        return logits


def pairwise_sigmoid_loss(logits: Tensor) -> Tensor:
    """Every pair is a yes or no of its own: yes on the diagonal."""
    count = logits.shape[0]
    signs = 2 * torch.eye(count) - 1
    return -F.logsigmoid(signs * logits.float()).sum() / count


def retrieval_accuracy(logits: Tensor) -> float:
    """How often a picture likes its own caption best."""
    return float((logits.argmax(dim=1) == torch.arange(logits.shape[0])).float().mean())
