"""An engine of a few lines, and the bundle it opens: answers are written down beforehand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from edge_runtime.assistant import Assistant
from edge_runtime.backends.backend import Array, Ints
from edge_runtime.bundle import Bundle
from edge_runtime.dialects import Dialect
from edge_runtime.manifest import FileEntry, Manifest, TableEntry
from edge_runtime.scores import Scores
from edge_runtime.spec import ModelSpec, Role
from edge_runtime.tokenizer import Tokenizer
from tests.checkpoints import BOS_ID, EOS, EOS_ID, IMAGE, IMAGE_ID, write_tokenizer
from tests.edge_runtime.bundle_samples import WIDTH, sample_entry, sample_provenance, sample_spec

VOCAB = 300
CONTEXT = 96
IMAGE_TOKENS = 4  # of `sample_spec`


def fake_spec() -> ModelSpec:
    spec = sample_spec()
    prompt = replace(
        spec.prompt, end=EOS, stop_strings=("User:", EOS), image_mark=IMAGE,
        image_id=IMAGE_ID, bos_id=BOS_ID, eos_id=EOS_ID,
    )  # fmt: skip
    decoder = replace(spec.decoder, vocab=VOCAB, max_positions=2048)
    return replace(spec, decoder=decoder, prompt=prompt)


def fake_bundle(folder: Path, max_context: int = CONTEXT) -> Bundle:
    """A folder with a tokenizer and an embedding table whose row i is all i."""
    folder.mkdir()
    write_tokenizer(folder)
    rows = np.repeat(np.arange(VOCAB, dtype="<f2")[:, None], WIDTH, axis=1)
    rows.tofile(folder / "embed.bin")
    graphs = tuple(sample_entry(role) for role in ("vision_low", "adaptor", "decoder"))
    paths = {"tokenizer.json": 1, "embed.bin": rows.nbytes} | {graph.path: 1 for graph in graphs}
    manifest = Manifest(
        format=1,
        spec=fake_spec(),
        max_context=max_context,
        graphs=graphs,
        embedding=TableEntry("embed.bin", "float16", VOCAB, WIDTH),
        files=tuple(FileEntry(path, size, "0" * 64) for path, size in paths.items()),
        provenance=sample_provenance(),
    )
    return Bundle(folder, manifest)


@dataclass
class FakeGraph:
    role: Role
    ran: list[Role]
    shapes: dict[str, tuple[int, ...]]

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        self.ran.append(self.role)
        self.shapes.update({f"{self.role}.{name}": value.shape for name, value in feeds.items()})
        if self.role == "adaptor":
            return {"embeds": feeds["low"]}
        mean = feeds["pixels"].mean(dtype=np.float64)
        return {"features": np.full((1, IMAGE_TOKENS, WIDTH), 1000 + round(mean, 2), dtype=np.float32)}

    def launch(self, feeds: Mapping[str, Array]) -> Callable[[], dict[str, Array]]:
        found = self.run(feeds)
        return lambda: found


@dataclass
class ScriptedDecoder:
    """Whatever it is asked, it says `script`; what it was fed it remembers."""

    script: list[int]
    capacity: int
    batch: int = 1
    fed: list[tuple[int, list[float]]] = field(default_factory=list)  # (first cache row, first values)
    said: int = 0

    def row(self, row: int) -> ScriptedDecoder:
        assert row == 0 and self.batch == 1
        return self

    def step(self, embeds: Array, write_index: Ints, logit_index: Ints) -> Scores:
        values = embeds[0, :, 0].tolist()
        is_answer = self.said > 0 and values == [self.script[self.said - 1]]
        self.said = self.said if is_answer else 0
        self.fed.append((int(write_index[0]), values))
        logits = np.zeros((1, 1, VOCAB), dtype=np.float32)
        logits[0, 0, self.script[self.said]] = 1.0
        self.said += 1
        return Scores.of(logits)


@dataclass
class FakeBackend:
    script: list[int]
    name: str = "fake"
    dialect: Dialect = "ort"
    ran: list[Role] = field(default_factory=list)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)  # of the latest feeds
    decoders: list[ScriptedDecoder] = field(default_factory=list)
    is_closed: bool = False

    def graph(self, role: Role) -> FakeGraph:
        return FakeGraph(role, self.ran, self.shapes)

    def decoder(self, batch: int, capacity: int) -> ScriptedDecoder:
        self.decoders.append(ScriptedDecoder(self.script, capacity, batch))
        return self.decoders[-1]

    def close(self) -> None:
        self.is_closed = True


@dataclass
class Room:
    """An assistant whose answers are known, and what its engine was asked to do."""

    assistant: Assistant
    backend: FakeBackend

    @property
    def fed(self) -> list[tuple[int, list[float]]]:
        return self.backend.decoders[0].fed


def room_for(bundle: Bundle, text: str, *, is_ended: bool = True, max_context: int | None = None) -> Room:
    """An assistant that answers `text`, then the end token or, without it, the letter z for ever."""
    tokenizer = Tokenizer.open(bundle.tokenizer_path)
    backend = FakeBackend(
        [*tokenizer.encode(text), *([EOS_ID] if is_ended else tokenizer.encode("z") * 2000)]
    )
    return Room(Assistant(bundle, backend, max_context), backend)
