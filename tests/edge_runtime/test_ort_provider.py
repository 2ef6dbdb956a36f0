"""A bundle on another provider than the CPU's: that it is really there, what may run on it, where engines go."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from edge_runtime.backends.ort import OrtBackend, session_from_file
from edge_runtime.backends.ort_library import onnxruntime_for
from edge_runtime.backends.provider import CPU, CUDA, PROVIDERS, TENSORRT, Provider
from edge_runtime.bundle import Bundle
from edge_runtime.dialects import Dialect, FloatPrecision
from edge_runtime.errors import EdgeVLError, MachineFault
from tests.proof.subject import bundle_below, session_folder

LISTED = [each.name for each in PROVIDERS.values()]
Made = Callable[..., Bundle]


@dataclass
class Session:
    """As asked for, or without a word on the CPU."""

    path: str
    asked: list[tuple[str, dict[str, str]]]
    is_lost: bool

    def get_providers(self) -> list[str]:
        names = [name for name, _ in self.asked]
        return names[-1:] if self.is_lost else names


class Options:
    def add_session_config_entry(self, key: str, value: str) -> None:
        assert key != "session.disable_cpu_ep_fallback", "shapes are computed on the CPU"


@dataclass
class Library:
    """An onnxruntime with GPU providers."""

    listed: list[str] = field(default_factory=lambda: list(LISTED))
    is_lost: bool = False
    refusal: str = ""
    opened: list[Session] = field(default_factory=list)
    preloads: int = 0

    def session(self, path: str, options: Options, providers: Any, enable_fallback: int) -> Session:
        assert enable_fallback == 0, "or it prints, and goes on with the CPU"
        if self.refusal:
            raise RuntimeError(self.refusal)
        self.opened.append(Session(path, providers, self.is_lost))
        return self.opened[-1]

    def preload(self) -> None:
        self.preloads += 1
        print("Failed to load libcudnn.so.9")

    def module(self) -> ModuleType:
        found: Any = ModuleType("onnxruntime")
        found.__version__ = "1.32.0"
        found.SessionOptions = Options
        found.InferenceSession = self.session
        found.preload_dlls = self.preload
        found.get_available_providers = lambda: self.listed
        return found  # type: ignore[no-any-return]


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    library = Library()
    monkeypatch.setitem(sys.modules, "onnxruntime", library.module())
    return library


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    def bundle(name: str, precision: FloatPrecision = "fp16", dialect: Dialect = "ort") -> Bundle:
        return Bundle.open(bundle_below(session_folder(tmp_path_factory), name, precision, dialect=dialect))

    return bundle


@pytest.fixture
def half(made: Made) -> Bundle:
    return made("grouped")


def opened(provider: Provider) -> Session:
    session = session_from_file(Path("decoder.onnx"), 1, is_mapped=False, provider=provider)
    assert isinstance(session, Session)
    return session


def refused(provider: Provider) -> MachineFault:
    with pytest.raises(MachineFault) as caught:
        opened(provider)
    assert caught.value.code == "EVL-ENGINE-ORT"
    assert caught.value.what == f"ONNX Runtime 1.32.0 cannot open decoder.onnx on {provider.name}"
    assert "--engine onnxruntime" in caught.value.fix
    return caught.value


@pytest.mark.parametrize("provider", [TENSORRT, CUDA, CPU], ids=lambda each: each.engine)
def test_a_session_asks_for_the_provider_and_those_behind_it_in_order(
    library: Library, provider: Provider
) -> None:
    asked = opened(provider).asked
    assert asked == [(each.name, dict(each.options)) for each in (provider, *provider.behind)]
    assert asked[-1] == (CPU.name, {})


@pytest.mark.parametrize("refusal", ["std::bad_alloc", "pthread_create failed, error code: 11"])
def test_a_machine_that_is_short_is_not_told_to_look_at_the_bundle(library: Library, refusal: str) -> None:
    library.refusal = refusal
    with pytest.raises(MachineFault) as caught:
        opened(CPU)
    for fault in (caught.value, refused(CUDA)):
        assert "close other programs" in fault.fix and "verify" not in fault.fix
    library.refusal = "Load model from /allocations/decoder.onnx failed: no such operator"
    with pytest.raises(MachineFault, match="edge-vl verify"):
        opened(CPU)


@pytest.mark.parametrize("provider", [TENSORRT, CUDA], ids=lambda each: each.engine)
def test_a_session_that_fell_back_to_the_cpu_without_a_word_is_a_fault(
    library: Library, provider: Provider
) -> None:
    library.is_lost = True
    why = f"{provider.name} was asked for, and the session has only CPUExecutionProvider"
    assert refused(provider).why == why


def test_a_build_without_the_provider_is_a_fault_before_anything_is_loaded(library: Library) -> None:
    library.listed = [CPU.name]
    assert refused(CUDA).why == "this build of ONNX Runtime has no CUDAExecutionProvider"
    assert (library.opened, library.preloads) == ([], 0)


def test_what_a_provider_refuses_is_a_fault(library: Library) -> None:
    library.refusal = "CUDA failure 35: driver version is insufficient"
    assert refused(CUDA).why == library.refusal


def test_the_fault_of_an_engine_that_was_kept_says_what_to_delete(library: Library, tmp_path: Path) -> None:
    library.refusal = "could not deserialize engine from cache"
    assert f"delete {tmp_path}" in refused(TENSORRT.keeping(tmp_path)).fix


@pytest.mark.parametrize(("provider", "preloads"), [(CUDA, 1), (TENSORRT, 1), (CPU, 0)])
def test_cudas_libraries_are_loaded_for_those_who_need_them_and_stdout_stays_clean(
    library: Library, provider: Provider, preloads: int, capsys: pytest.CaptureFixture[str]
) -> None:
    onnxruntime_for(provider)
    assert library.preloads == preloads
    assert capsys.readouterr().out == ""


def test_an_onnxruntime_that_preloads_nothing_is_taken_as_it_is(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = library.module()
    del module.preload_dlls
    monkeypatch.setitem(sys.modules, "onnxruntime", module)
    assert onnxruntime_for(CUDA) is module


@pytest.mark.parametrize("engine", list(PROVIDERS))
def test_a_backend_is_named_by_its_engine(half: Bundle, engine: str) -> None:
    assert OrtBackend(half, provider=PROVIDERS[engine]).name == engine


def test_an_fp32_decoder_of_the_ort_dialect_is_refused_on_a_gpu(library: Library, made: Made) -> None:
    with pytest.raises(EdgeVLError) as caught:
        OrtBackend(made("plain", "fp32"), provider=CUDA).decoder(1, 16)
    assert caught.value.code == "EVL-ENGINE-PRECISION"
    assert "--precision fp16" in caught.value.fix
    assert library.opened == []


def test_with_tensorrt_towers_keep_engines_and_the_decoder_is_on_cuda(
    library: Library, half: Bundle, tmp_path: Path
) -> None:
    backend = OrtBackend(half, provider=TENSORRT, engines=tmp_path)
    for role in ("vision_low", "adaptor", "decoder"):
        backend.session(role)
    *towers, decoder = library.opened
    assert decoder.asked[0] == (CUDA.name, dict(CUDA.options))
    folders = [Path(each.asked[0][1]["trt_engine_cache_path"]) for each in towers]
    assert [each.asked[0][0] for each in towers] == [TENSORRT.name] * 2
    assert all(each.is_dir() and each.parent == tmp_path for each in folders)
    assert len(set(folders)) == 2


def test_engines_of_two_bundles_that_differ_in_weights_alone_are_kept_apart(
    library: Library, half: Bundle, tmp_path: Path
) -> None:
    """ONNX Runtime names an engine by its graph, so one bundle would answer with the other's weights."""
    files = [
        replace(each, sha256="0" * 64) if each.path.endswith(".data") else each
        for each in half.manifest.files
    ]
    other = replace(half, manifest=replace(half.manifest, files=tuple(files)))
    assert other != half
    for bundle in (half, other, half):
        OrtBackend(bundle, provider=TENSORRT, engines=tmp_path).session("vision_low")
    assert len(list(tmp_path.iterdir())) == 2


def test_engines_of_another_onnxruntime_are_not_taken(library: Library, half: Bundle, tmp_path: Path) -> None:
    for version in ("1.31.0", "1.32.0", "1.32.0"):
        setattr(sys.modules["onnxruntime"], "__version__", version)  # noqa: B010  (types know no version of a module)
        OrtBackend(half, provider=TENSORRT, engines=tmp_path).session("vision_low")
    assert sorted(each.name.rsplit("-", 1)[1] for each in tmp_path.iterdir()) == ["1.31.0", "1.32.0"]


def test_engines_go_to_the_users_cache_unless_said(
    library: Library, half: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    OrtBackend(half, provider=TENSORRT).session("adaptor")
    (folder,) = (tmp_path / "edge-vl" / "onnxruntime").iterdir()
    assert folder.name.startswith("adaptor-")


def test_a_place_for_engines_that_cannot_be_made_is_named(
    library: Library, half: Bundle, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EdgeVLError) as caught:
        OrtBackend(half, provider=TENSORRT, engines=tmp_path / "file").session("adaptor")
    assert caught.value.code == "EVL-OUT-UNWRITABLE"


def test_launching_a_graph_gives_what_running_it_gives(half: Bundle) -> None:
    graph = OrtBackend(half, threads=1).graph("adaptor")
    (port,) = half.graph("adaptor", "ort").inputs
    shape = [each if isinstance(each, int) else 1 for each in port.shape]
    feeds = {port.name: np.ones(shape)}
    launched, run = graph.launch(feeds)(), graph.run(feeds)
    assert launched.keys() == run.keys() == {"embeds"}
    assert np.array_equal(launched["embeds"], run["embeds"])
