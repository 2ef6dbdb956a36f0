"""The high-resolution tower: SAM-B with windows, folded relative positions and the learned side path."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edge_runtime.spec import SamSpec
from export.modules.conv import Conv
from export.modules.linear import Linear, empty_parameter
from export.modules.norm import LayerNorm
from export.modules.spelling import Spelling
from export.modules.stream import Stream

NECK_EPS = 1e-6  # fixed by the architecture; no config names it


class SamTower(nn.Module):
    """Normalised pixels (B, 3, size, size) -> (B, tokens, width), tokens row by row."""

    def __init__(self, spec: SamSpec, spelling: Spelling, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.spec = spec
        self.spelling = spelling
        size, width, (middle, out) = spec.patch_size, spec.width, spec.down_widths
        self.patch = Conv(3, width, size, dtype, stride=size, has_bias=True)
        self.position = empty_parameter(spec.grid, spec.grid, width, dtype=dtype)
        self.blocks = nn.ModuleList(SamBlock(spec, i, spelling, dtype) for i in range(spec.layers))
        self.stream = Stream()
        self.neck = Neck(width, spec.neck_width, dtype)
        self.side = Neck(width, spec.neck_width, dtype)
        self.alpha = empty_parameter(1, dtype=dtype)
        self.down1 = Conv(spec.neck_width, middle, 3, dtype, stride=2, padding=1)
        self.down2 = Conv(middle, out, 3, dtype, stride=2, padding=1)
        self.eval()

    def forward(self, pixels: Tensor) -> Tensor:
        x: Tensor = self.patch(pixels).permute(0, 2, 3, 1) + self.position  # (B, g, g, W)
        last, side = self.trunk(self.stream(x))
        # Resize and the two convolutions are linear and bias-free, so both paths share one pass of them.
        mixed = self.neck(last) + self.alpha * self.side(side)  # (B, g, g, neck)
        resized = self.spelling.resize(mixed.permute(0, 3, 1, 2), self.spec.resized_grid)
        down: Tensor = self.down2(self.down1(resized))  # (B, out, t, t)
        return down.flatten(2).transpose(1, 2)

    def trunk(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The outputs of the last block and of the side block, each (B, g, g, W)."""
        spec = self.spec
        whole, window = axes(spec.grid, x), axes(spec.window, x)
        side = x
        for i, block in enumerate(self.blocks):
            x = block(x, whole if i in spec.global_blocks else window)
            side = x if i == spec.side_block else side
        return x, side


class SamBlock(nn.Module):
    """Pre-norm attention and MLP over a map (B, g, g, W), attention whole or in windows."""

    def __init__(self, spec: SamSpec, index: int, spelling: Spelling, dtype: torch.dtype) -> None:
        super().__init__()
        self.window = None if index in spec.global_blocks else spec.window
        side = self.window or spec.grid
        self.heads, self.scale = spec.heads, spec.head_dim**-0.5
        self.spelling = spelling
        self.norm1 = LayerNorm(spec.width, spec.norm_eps, dtype)
        self.qkv = Linear(spec.width, 3 * spec.width, dtype)
        self.proj = Linear(spec.width, spec.width, dtype)
        self.rel_h = empty_parameter(2 * side - 1, spec.head_dim, dtype=dtype)
        self.rel_w = empty_parameter(2 * side - 1, spec.head_dim, dtype=dtype)
        self.norm2 = LayerNorm(spec.width, spec.norm_eps, dtype)
        self.fc1 = Linear(spec.width, spec.mlp_width, dtype)
        self.fc2 = Linear(spec.mlp_width, spec.width, dtype)

    def forward(self, x: Tensor, axes: Axes) -> Tensor:
        normed: Tensor = self.norm1(x)
        if self.window is None:
            x = x + self.attend(normed, axes)
        else:
            attended = self.attend(windows_from_map(normed, self.window), axes)
            x = x + map_from_windows(attended, x.shape[1])
        outer: Tensor = self.fc2(F.gelu(self.fc1(self.norm2(x))))
        return x + outer

    def attend(self, x: Tensor, axes: Axes) -> Tensor:
        """Attention within each square of (N, side, side, W)."""
        side = x.shape[1]
        q, k, v = (torch.unflatten(part, -1, (self.heads, -1)) for part in self.qkv(x).chunk(3, dim=-1))
        q = self.widened_query(q, axes).flatten(1, 2)  # (N, side², H, hd + 2 side)
        k = axes.widened_key(k.flatten(1, 2))
        out: Tensor = self.proj(self.spelling.attention(q, k, v.flatten(1, 2), 1.0))
        return torch.unflatten(out, 1, (side, side))

    def widened_query(self, q: Tensor, axes: Axes) -> Tensor:
        """[q·scale, q·Rh, q·Rw]: against `Axes.widened_key` one dot product gives q·k·scale + q·Rh + q·Rw.

        The relative terms take the unscaled query.
        """
        rows = matched(q, F.embedding(axes.offset, self.rel_h))  # (N, y, x, H, side)
        columns = matched(q.transpose(1, 2), F.embedding(axes.offset, self.rel_w)).transpose(1, 2)
        return torch.cat([q * self.scale, rows, columns], dim=-1)


class Axes(NamedTuple):
    """What relative positions need to know of a square with `side` rows and columns."""

    offset: Tensor  # (side, side) int64: the row of a relative table for (query, key) coordinates
    place: Tensor  # (side², 1, 2 side): each key's row and column as two one-hot vectors

    def widened_key(self, k: Tensor) -> Tensor:
        """k (N, side², H, hd) with its place appended to every head."""
        return torch.cat([k, self.place.to(k.dtype).expand(*k.shape[:3], -1)], dim=-1)


def axes(side: int, like: Tensor) -> Axes:
    """Made of aranges inside the traced call: a stored constant would be lost under fake tensors."""
    steps = torch.arange(side, device=like.device)
    offset = steps[:, None] - steps[None, :] + (side - 1)
    one_hot = (steps[:, None] == steps[None, :]).to(like.dtype)
    rows = one_hot[:, None].expand(side, side, side)
    columns = one_hot[None, :].expand(side, side, side)
    return Axes(offset, torch.cat([rows, columns], dim=-1).reshape(side * side, 1, 2 * side))


def matched(q: Tensor, table: Tensor) -> Tensor:
    """Each query against the table of its own coordinate: (N, a, b, H, c), (a, k, c) -> (N, a, b, H, k)."""
    flat = q.flatten(2, 3)  # (N, a, b*H, c)
    return torch.unflatten(flat @ table.transpose(1, 2).to(q.dtype), 2, (q.shape[2], q.shape[3]))


class Neck(nn.Module):
    """1x1 and 3x3 convolution, each with a LayerNorm over channels: (B, g, g, W) -> (B, g, g, neck)."""

    def __init__(self, width: int, neck_width: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.conv1 = Conv(width, neck_width, 1, dtype)
        self.norm1 = LayerNorm(neck_width, NECK_EPS, dtype)
        self.conv2 = Conv(neck_width, neck_width, 3, dtype, padding=1)
        self.norm2 = LayerNorm(neck_width, NECK_EPS, dtype)

    def forward(self, x: Tensor) -> Tensor:
        for conv, norm in ((self.conv1, self.norm1), (self.conv2, self.norm2)):
            x = norm(conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))
        return x


def windows_from_map(x: Tensor, window: int) -> Tensor:
    """(B, g, g, W) -> (B*n*n, window, window, W). Padding is zeros, and takes part unmasked."""
    grid, width = x.shape[2], x.shape[3]
    count = -(-grid // window)
    short = count * window - grid
    padded = F.pad(x, (0, 0, 0, short, 0, short)) if short else x
    tiles = padded.reshape(-1, count, window, count, window, width).permute(0, 1, 3, 2, 4, 5)
    return tiles.reshape(-1, window, window, width)


def map_from_windows(tiles: Tensor, grid: int) -> Tensor:
    """(B*n*n, window, window, W) -> (B, grid, grid, W), padding cut off."""
    window, width = tiles.shape[2], tiles.shape[3]
    count = -(-grid // window)
    rows = tiles.reshape(-1, count, count, window, window, width).permute(0, 1, 3, 2, 4, 5)
    return rows.reshape(-1, count * window, count * window, width)[:, :grid, :grid]
