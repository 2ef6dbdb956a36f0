"""ModelSpec: everything about a model that code depends on, read once, stored in the bundle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Activation = Literal["gelu", "gelu_tanh"]
AdaptorKind = Literal["mlp_gelu", "hybrid_split_mlp_gelu"]
Rgb = tuple[int, int, int]
Channels = tuple[float, float, float]


def check(is_true: bool, message: str) -> None:
    if not is_true:
        raise ValueError(message)


def check_positive(holder: object, *names: str) -> None:
    for name in names:
        check(getattr(holder, name) > 0, f"{type(holder).__name__}.{name} must be positive")


@dataclass(frozen=True)
class SiglipSpec:
    """The low-resolution tower: a plain ViT whose last block is normed and used whole."""

    image_size: int
    patch_size: int
    width: int
    layers: int
    heads: int
    mlp_width: int
    norm_eps: float
    activation: Activation

    def __post_init__(self) -> None:
        check_positive(self, "image_size", "patch_size", "width", "layers", "heads", "mlp_width", "norm_eps")
        check(self.width % self.heads == 0, "SigLIP width must be a multiple of its heads")
        check(self.image_size >= self.patch_size, "SigLIP image is smaller than one patch")

    @property
    def grid(self) -> int:
        return self.image_size // self.patch_size

    @property
    def tokens(self) -> int:
        return self.grid * self.grid

    @property
    def head_dim(self) -> int:
        return self.width // self.heads


@dataclass(frozen=True)
class SamSpec:
    """The high-resolution tower: windowed ViT, two necks, one resize and two stride-2 convolutions."""

    image_size: int
    patch_size: int
    width: int
    layers: int
    heads: int
    mlp_width: int
    window: int
    global_blocks: tuple[int, ...]
    neck_width: int
    down_widths: tuple[int, int]
    resized_grid: int  # side of the map that enters the stride-2 convolutions
    norm_eps: float

    def __post_init__(self) -> None:
        check_positive(self, "image_size", "patch_size", "width", "layers", "heads", "mlp_width", "window")
        check_positive(self, "neck_width", "resized_grid", "norm_eps")
        check(self.width % self.heads == 0, "SAM width must be a multiple of its heads")
        check(self.image_size % self.patch_size == 0, "SAM image must hold whole patches")
        check(len(self.global_blocks) > 0, "SAM needs at least one global block")
        check(
            all(0 <= block < self.layers for block in self.global_blocks),
            "a SAM global block lies outside the layers",
        )
        check(self.resized_grid % 4 == 0, "SAM's resized grid must halve twice")

    @property
    def grid(self) -> int:
        return self.image_size // self.patch_size

    @property
    def head_dim(self) -> int:
        return self.width // self.heads

    @property
    def tokens(self) -> int:
        return (self.resized_grid // 4) ** 2

    @property
    def side_block(self) -> int:
        """The block whose output takes the learned side path: the first global one."""
        return self.global_blocks[0]


@dataclass(frozen=True)
class AdaptorSpec:
    """Vision features to decoder width. `high_width` is 0 where there is no SAM tower."""

    kind: AdaptorKind
    depth: int
    low_width: int
    high_width: int
    width: int

    def __post_init__(self) -> None:
        check_positive(self, "depth", "low_width", "width")
        is_hybrid = self.kind == "hybrid_split_mlp_gelu"
        check((self.high_width > 0) == is_hybrid, "only a hybrid adaptor has a high width")
        check(not is_hybrid or self.width % 2 == 0, "a hybrid adaptor splits its width in two")


@dataclass(frozen=True)
class DecoderSpec:
    """A LLaMA-style decoder that takes embeddings."""

    width: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    mlp_width: int
    vocab: int
    max_positions: int
    rope_theta: float
    norm_eps: float
    is_tied: bool  # the LM head is the embedding table

    def __post_init__(self) -> None:
        check_positive(self, "width", "layers", "heads", "kv_heads", "head_dim", "mlp_width")
        check_positive(self, "vocab", "max_positions", "rope_theta", "norm_eps")
        check(self.heads % self.kv_heads == 0, "decoder heads must be a multiple of its KV heads")
        check(self.head_dim % 2 == 0, "rotary embedding needs an even head size")


@dataclass(frozen=True)
class PromptSpec:
    """The conversation format and the tokens that steer it."""

    system: str
    user: str
    assistant: str
    separator: str  # after the system text and after a user turn
    end: str  # after an assistant turn
    stop_strings: tuple[str, ...]
    image_mark: str  # the tokenizer's own image placeholder
    image_id: int
    bos_id: int
    eos_id: int

    def __post_init__(self) -> None:
        check(len({self.image_id, self.bos_id, self.eos_id}) == 3, "special token ids collide")
        check(min(self.image_id, self.bos_id, self.eos_id) >= 0, "token ids are not negative")
        check(bool(self.image_mark), "the image placeholder is empty")


@dataclass(frozen=True)
class PixelSpec:
    """What one tower is fed: side, and normalisation of values in [0, 1]."""

    size: int
    mean: Channels
    std: Channels

    def __post_init__(self) -> None:
        check_positive(self, "size")
        check(all(value > 0 for value in self.std), "pixel std must be positive")


@dataclass(frozen=True)
class PreprocessSpec:
    """Truncating bicubic resize to the first tower's side, centre padding; see `preprocess.py`.

    Without a SAM tower `high` is None and `low` is made from the bytes directly; with one the
    padded high picture is made first and `low` is resized from it in float.
    """

    low: PixelSpec
    high: PixelSpec | None
    background: Rgb
    min_side: int

    def __post_init__(self) -> None:
        check_positive(self, "min_side")
        check(all(0 <= value <= 255 for value in self.background), "background is not a colour")
        check(self.min_side <= self.canvas, "min_side is larger than the canvas")

    @property
    def canvas(self) -> int:
        return self.low.size if self.high is None else self.high.size


@dataclass(frozen=True)
class ModelSpec:
    family: Literal["deepseek_vl"]
    low: SiglipSpec
    high: SamSpec | None
    adaptor: AdaptorSpec
    decoder: DecoderSpec
    preprocess: PreprocessSpec
    prompt: PromptSpec

    def __post_init__(self) -> None:
        check((self.high is None) == (self.adaptor.high_width == 0), "adaptor and towers disagree")
        check((self.high is None) == (self.preprocess.high is None), "preprocessing disagrees")
        check(self.adaptor.low_width == self.low.width, "adaptor does not fit the SigLIP tower")
        check(self.adaptor.width == self.decoder.width, "adaptor does not fit the decoder")
        check(self.preprocess.low.size == self.low.image_size, "pixels do not fit the SigLIP tower")
        check(self.prompt.image_id < self.decoder.vocab, "the image token lies outside the vocabulary")
        check(self.prompt.bos_id < self.decoder.vocab, "the beginning token lies outside the vocabulary")
        check(self.prompt.eos_id < self.decoder.vocab, "the end token lies outside the vocabulary")
        if self.high is not None and self.preprocess.high is not None:
            check(self.adaptor.high_width == self.high.down_widths[1], "adaptor does not fit SAM")
            check(self.high.tokens == self.low.tokens, "the towers give different token counts")
            check(self.preprocess.high.size == self.high.image_size, "pixels do not fit SAM")

    @property
    def image_tokens(self) -> int:
        return self.low.tokens

    @property
    def roles(self) -> tuple[Role, ...]:
        towers: tuple[Role, ...] = ("vision_low",) if self.high is None else ("vision_high", "vision_low")
        return (*towers, "adaptor", "embed", "decoder")


Role = Literal["vision_high", "vision_low", "adaptor", "embed", "decoder"]
