"""Real builds, one small graph of every kind."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from edge_runtime.errors import EdgeVLError
from export.engines.compiler import build_engine
from export.engines.request import BuildReport, BuildRequest
from export.engines.shapes import Profile, ShapeRange
from tests.export.engines import graphs
from tests.export.engines.conftest import Workshop


def refused(request: BuildRequest) -> EdgeVLError:
    with pytest.raises(EdgeVLError) as caught:
        build_engine(request)
    folder = Path(request.plan).parent
    assert [path.name for path in folder.iterdir() if path.suffix != ".onnx"] == []
    return caught.value


def test_a_report_says_what_was_built_and_what_it_cost(workshop: Workshop) -> None:
    report = workshop.built("product", graphs.product, graphs.rows()).report
    assert (report.role, report.engine) == ("product", "tensorrt-rtx")
    assert report.engine_version.startswith("1.")
    assert report.plan_bytes == Path(report.plan).stat().st_size > graphs.WIDTH**2 * 2
    assert report.build_seconds > report.parse_seconds > 0
    assert 20 < report.peak_held_mib < report.peak_resident_mib < 2000
    assert report.layers == {"CONSTANT": 1, "MATRIX_MULTIPLY": 1}


def test_the_log_tells_the_memory_of_every_profile(workshop: Workshop) -> None:
    profiles = (graphs.rows("many"), graphs.rows("one", most=1))
    report = workshop.built("two_profiles", graphs.product, *profiles).report
    assert report.activation_bytes is not None
    assert len(report.activation_bytes) == 2
    assert report.weight_bytes is not None
    assert report.weight_bytes >= graphs.WIDTH**2 * 2


def test_nothing_but_the_plan_is_left_beside_the_graph(product: BuildRequest, rtx: None) -> None:
    build_engine(product)
    assert sorted(os.listdir(Path(product.plan).parent)) == ["product.onnx", "product.plan"]


def test_a_plan_that_exists_is_never_replaced(product: BuildRequest) -> None:
    Path(product.plan).write_bytes(b"precious")
    with pytest.raises(EdgeVLError) as caught:
        build_engine(product)
    assert caught.value.code == "EVL-OUT-EXISTS"
    assert Path(product.plan).read_bytes() == b"precious"


def test_relative_paths_mean_the_callers_folder(
    product: BuildRequest, monkeypatch: pytest.MonkeyPatch, rtx: None
) -> None:
    monkeypatch.chdir(Path(product.onnx).parent)
    report = build_engine(replace(product, onnx="product.onnx", plan="here.plan"))
    assert report.plan == "here.plan"
    assert Path("here.plan").is_file()


def test_a_module_of_the_users_folder_is_not_taken_for_ours(
    product: BuildRequest, monkeypatch: pytest.MonkeyPatch, rtx: None
) -> None:
    folder = Path(product.onnx).parent
    (folder / "export.py").write_text("raise SystemExit('the wrong export')\n")
    monkeypatch.chdir(folder)
    assert build_engine(product).plan_bytes > 0


def layers_of(report: BuildReport) -> set[str]:
    return set(report.layers)


def test_the_cache_is_updated_by_layers_of_its_own(workshop: Workshop) -> None:
    profiles = graphs.cache_profile("prefill", 16), graphs.cache_profile("decode", 1)
    report = workshop.built("cache", graphs.cached_attention, *profiles).report
    assert report.layers["KV_CACHE_UPDATE"] == 2
    assert report.layers["ATTENTION_INPUT"] == 1


def test_attention_without_a_fused_kernel_is_built_of_parts(workshop: Workshop) -> None:
    built = workshop.built(
        "float_attention", lambda path: graphs.attention(path, graphs.FLOAT), graphs.tokens_profile()
    )
    assert "ATTENTION_INPUT" in layers_of(built.report)
    assert built.plan.profiles[0].fused_attention() == 0


def test_a_masked_float_cache_is_built_too(workshop: Workshop) -> None:
    built = workshop.built(
        "float_cache",
        lambda path: graphs.cached_attention(path, kind=graphs.FLOAT),
        graphs.cache_profile("prefill", 16),
    )
    assert built.report.layers["KV_CACHE_UPDATE"] == 2


def open_cache(folder: Path) -> BuildRequest:
    graph = graphs.cached_attention(folder / "open.onnx", capacity="capacity")
    profiles = (graphs.cache_profile("prefill", 16),)
    return BuildRequest("decoder", "tensorrt-rtx", str(graph), str(folder / "open.plan"), profiles)


def test_a_cache_of_open_capacity_is_refused_in_the_parsers_words(tmp_path: Path, rtx: None) -> None:
    error = refused(open_cache(tmp_path))
    assert error.code == "EVL-BUILD-PARSE"
    assert "keep_k" in error.why
    assert "must have a static sequence length dimension" in error.why
    assert "cudaError" not in error.why


def test_weights_beside_the_graph_are_found(product: BuildRequest, rtx: None) -> None:
    graph = Path(product.onnx)
    model = onnx.load(graph)
    graph.unlink()
    onnx.save(model, graph, save_as_external_data=True, location="product.data", size_threshold=0)
    assert build_engine(product).plan_bytes > graphs.WIDTH**2 * 2


def test_lost_weights_are_named_in_the_parsers_words(product: BuildRequest, rtx: None) -> None:
    graph = Path(product.onnx)
    model = onnx.load(graph)
    graph.unlink()
    onnx.save(model, graph, save_as_external_data=True, location="product.data", size_threshold=0)
    graph.with_name("product.data").unlink()
    error = refused(product)
    assert error.code == "EVL-BUILD-PARSE"
    assert "Failed to import initializer: w" in error.why


def test_an_unsupported_operator_is_named_with_its_role_and_node(tmp_path: Path, rtx: None) -> None:
    graph = graphs.unsupported(tmp_path / "decoder.onnx")
    error = refused(BuildRequest("decoder", "tensorrt-rtx", str(graph), str(tmp_path / "decoder.plan")))
    assert (error.code, error.exit_status) == ("EVL-BUILD-PARSE", 2)
    assert "decoder" in error.what
    assert "node 1 'block_0_attention' (GroupQueryAttention)" in error.why
    assert "scale is invalid" in error.why
    assert error.fix.index("edge-vl verify") < error.fix.index("dialect")


def test_what_the_builder_refuses_is_told_in_its_own_words(tmp_path: Path, rtx: None) -> None:
    graph = graphs.unbuildable(tmp_path / "decoder.onnx")
    error = refused(BuildRequest("decoder", "tensorrt-rtx", str(graph), str(tmp_path / "decoder.plan")))
    assert (error.code, error.exit_status) == ("EVL-BUILD-FAILED", 2)
    assert "K exceeds the maximum value" in error.why
    assert "cudaError" not in error.why


def test_bytes_that_hold_no_graph_are_refused(product: BuildRequest, rtx: None) -> None:
    # The library's parser says that it has read this file.
    Path(product.onnx).write_bytes(b"hello world junk")
    error = refused(product)
    assert error.code == "EVL-BUILD-PARSE"
    assert "no graph" in error.why


def test_a_graph_that_is_not_there_is_refused_before_a_process_starts(product: BuildRequest) -> None:
    error = refused(replace(product, onnx=product.onnx + ".gone.onnx"))
    assert error.code == "EVL-BUILD-PARSE"


@pytest.mark.parametrize(
    ("profiles", "words"),
    [
        ((), "there is no profile: x [-1, 256]"),
        ((Profile("p", {"z": ShapeRange((1,), (1,), (1,))}),), "names z; the inputs are x [-1, 256]"),
        ((Profile("p", {"x": ShapeRange((1, 8), (1, 8), (1, 8))}),), "the graph has [-1, 256]"),
    ],
)
def test_profiles_that_do_not_fit_the_graph_are_refused(
    product: BuildRequest, profiles: tuple[Profile, ...], words: str, rtx: None
) -> None:
    error = refused(replace(product, profiles=profiles))
    assert (error.code, error.exit_status) == ("EVL-BUILD-SHAPES", 2)
    assert words in error.why


# --- who watches


def python(*lines: str) -> list[str]:
    """In place of the builder's process; its parent's number is one argument more."""
    return [sys.executable, "-c", "\n".join(lines)]


def test_a_watcher_is_told_the_time_again_and_again(product: BuildRequest) -> None:
    told: list[float] = []
    with pytest.raises(EdgeVLError, match="EVL-BUILD-CRASH"):
        build_engine(product, None, python("import time; time.sleep(0.5)"), told.append)
    assert len(told) > 5 and told == sorted(told)
    assert told[0] < 0.3 and told[-1] > 0.4


def test_what_stops_the_watcher_ends_the_build_at_once(product: BuildRequest, tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    command = python(
        "import os, pathlib, time",
        f"pathlib.Path({str(mark)!r}).write_text(str(os.getpid()))",
        "time.sleep(60)",
    )

    def stop(seconds: float) -> None:
        if mark.exists() and mark.read_text():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_engine(product, None, command, stop)
    assert not Path(f"/proc/{mark.read_text()}").exists()
    assert sorted(os.listdir(tmp_path)) == ["pid", "product.onnx"]


def test_a_file_of_timings_is_where_the_caller_says(
    product: BuildRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not where the builder's process works."""
    monkeypatch.chdir(Path(product.onnx).parent)
    echo = python(
        "import json, sys",
        "why = json.load(sys.stdin)['timings']",
        "error = {'code': 'EVL-BUILD-FAILED', 'what': '', 'why': why, 'fix': '', 'is_machine_fault': False}",
        "print(json.dumps({'report': None, 'failure': error, 'refused_write': None}))",
    )
    with pytest.raises(EdgeVLError) as caught:
        build_engine(replace(product, timings="kept.cache"), None, echo)
    assert caught.value.why == str(Path(product.onnx).with_name("kept.cache"))
