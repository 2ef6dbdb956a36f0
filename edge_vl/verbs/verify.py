"""`edge-vl verify`."""

from __future__ import annotations

import math
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from edge_runtime.backends.ort import OrtBackend
from edge_runtime.backends.ort_faults import is_shortage
from edge_runtime.backends.ort_library import imported_onnxruntime
from edge_runtime.bundle import COPY_AGAIN, Bundle
from edge_runtime.choice import Wish, check_folder, chosen, told
from edge_runtime.errors import CheckFailed, EdgeVLError, MachineFault, listed
from edge_runtime.lint import check_caches, check_grammar, check_precision
from edge_runtime.manifest import MANIFEST_NAME
from edge_runtime.prompt import PromptFormat
from edge_runtime.tokenizer import Tokenizer
from edge_vl.verbs.folders import has_file, refuse_bundle, refuse_checkpoint
from edge_vl.verbs.pictures import pictures_from_folder
from edge_vl.verbs.workbench import workbench

if TYPE_CHECKING:
    from edge_vl.terminal import Terminal
    from export.parity import ParityReport

FAILED = 1
OF_BUNDLES = ("EVL-BUNDLE-", "EVL-TOKENIZER-", "EVL-PROMPT-")  # codes of what is wrong with one


def run(arguments: Namespace, terminal: Terminal) -> int:
    if arguments.images is not None and arguments.against is None:
        raise EdgeVLError(
            "EVL-USAGE",
            "--images needs --against",
            "pictures are there to compare with",
            "add --against CHECKPOINT",
        )
    bundle = sound_bundle(arguments, terminal)
    wish = Wish(engines=arguments.engines, is_trusted=arguments.trust_bundle)
    check_folder(bundle, wish)
    report = None
    if arguments.against is not None:
        report = compared(bundle, arguments.against, arguments.images, terminal)
    engine, why = answering_engine(bundle, wish, terminal)
    is_passed = report is None or report.is_passed
    if arguments.json:
        answering = {"engine": engine, "engine_reason": why}
        terminal.json(json_from_result(bundle, arguments, report) | answering | {"passed": is_passed})
    else:
        show(bundle, arguments, report, terminal)
        terminal.line(f"engine     {engine}: {why}")
        terminal.line("passed" if is_passed else "FAILED: the bundle is not the same model as the checkpoint")
    return 0 if is_passed else FAILED


def sound_bundle(arguments: Namespace, terminal: Terminal) -> Bundle:
    """Elsewhere a damaged bundle is the wrong input; here it is the answer to what was asked."""
    refuse_checkpoint(arguments.bundle)
    if arguments.against is not None:
        refuse_bundle(arguments.against)
    try:
        bundle = Bundle.open(arguments.bundle, arguments.trust_bundle, terminal.progress)
        for entry in bundle.manifest.graphs:
            onnx_file = bundle.onnx_file(entry)
            check_grammar(onnx_file, entry)
            check_precision(onnx_file, entry)
            if entry.role == "decoder":
                check_caches(entry, bundle.spec.decoder)
        PromptFormat(Tokenizer.open(bundle.tokenizer_path), bundle.spec.prompt, bundle.spec.image_tokens)
        check_sessions(bundle)
    except EdgeVLError as error:
        is_damaged = error.code.startswith(OF_BUNDLES) and error.code != "EVL-BUNDLE-FORMAT"
        if (
            is_damaged
            and error.exit_status == EdgeVLError.exit_status
            and has_file(arguments.bundle, MANIFEST_NAME)
        ):
            raise CheckFailed(error.code, error.what, error.why, error.fix) from error
        raise
    return bundle


def check_sessions(bundle: Bundle) -> None:
    """EVL-BUNDLE-GRAPH where ONNX Runtime does not take a graph that was made for it. One that is not installed, or too old
    for this bundle, says nothing of it."""
    if "ort" not in bundle.manifest.dialects:
        return
    backend = OrtBackend(bundle)
    try:
        imported_onnxruntime()
        backend.check()
    except EdgeVLError:
        return
    try:
        backend.check_graphs()
    except MachineFault as fault:
        if is_shortage(fault.why):
            raise
        raise EdgeVLError("EVL-BUNDLE-GRAPH", fault.what, fault.why, COPY_AGAIN) from fault


def answering_engine(bundle: Bundle, wish: Wish, terminal: Terminal) -> tuple[str, str]:
    """Which one `run` would take here, and why; none, and why, where nothing here could answer. That says nothing of the bundle."""
    try:
        choice = chosen(bundle, wish, progress=terminal.progress)
        choice.backend.close()
        if isinstance(choice.backend, OrtBackend):
            imported_onnxruntime()
            choice.backend.check()
    except EdgeVLError as error:
        hint = "`edge-vl build` makes engines of it where a GPU is"
        return "none", f"{told(error)}; {hint if error.code == 'EVL-BUNDLE-DIALECT' else error.fix}"
    return choice.backend.name, choice.why


def compared(bundle: Bundle, checkpoint_path: Path, images: Path | None, terminal: Terminal) -> ParityReport:
    if bundle.manifest.calibration is not None:
        raise EdgeVLError(
            "EVL-VERIFY-QUANTISED",
            "a quantised bundle is not compared with a checkpoint",
            "its integers are another model, near the float one; quality.json says how near",
            "verify the float bundle that it was made from with --against, and this one without",
        )
    with workbench("verify --against"):
        from export.checkpoint import Checkpoint
        from export.comparison import parity_of, synthetic_pictures

    pictures = pictures_from_folder(images, terminal.note).after(synthetic_pictures())
    with Checkpoint.open(checkpoint_path) as checkpoint:
        backends = {dialect: OrtBackend(bundle, dialect=dialect) for dialect in bundle.manifest.dialects}
        return parity_of(bundle, backends, checkpoint, pictures, terminal.progress)


def json_from_result(bundle: Bundle, arguments: Namespace, report: ParityReport | None) -> dict[str, object]:
    result: dict[str, object] = {
        "bundle": str(arguments.bundle),
        "files": len(bundle.manifest.files),
        "hashes": "skipped" if arguments.trust_bundle else "ok",
        "structure": "ok",
        "unlisted": bundle.unlisted(),
    }
    if bundle.manifest.quality is not None:
        result["quality"] = dict(bundle.manifest.quality)
    return result if report is None else result | {"parity": json_from_report(report)}


def json_from_report(report: ParityReport) -> dict[str, object]:
    return {
        "roles": [
            {
                "role": each.role,
                "dialect": each.dialect,
                "cosine": finite(each.cosine),
                "max": finite(each.max_difference),
                "mean": finite(each.mean_difference),
                "relative": finite(each.relative),
                "bar": {"cosine": each.bar.cosine, "relative": each.bar.relative},
                "passed": each.is_passed,
            }
            for each in report.roles
        ],
        "greedy": [
            {
                "prompt": each.prompt,
                "dialect": each.dialect,
                "agreed": each.agreed,
                "tokens": each.tokens,
                "gap": None if each.gap is None else finite(each.gap),
                "allowed_gap": finite(each.allowed),
                "passed": each.is_passed,
            }
            for each in report.greedy
        ],
        "same_tokenizer": report.has_same_tokenizer,
        "weights": [
            {
                "role": each.role,
                "dialect": each.dialect,
                "compared": each.compared,
                "differing": list(each.differing),
                "passed": each.is_passed,
            }
            for each in report.weights
        ],
    }


def finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def show(bundle: Bundle, arguments: Namespace, report: ParityReport | None, terminal: Terminal) -> None:
    hashes = "not hashed (--trust-bundle)" if arguments.trust_bundle else "hashes ok"
    files, graphs = len(bundle.manifest.files), len(bundle.manifest.graphs)
    terminal.line(f"integrity  {files} files, {hashes}; {graphs} graphs, structure ok")
    if others := bundle.unlisted():
        terminal.line(f"besides    {listed(others)}: not of the bundle, and never read")
    for line in quality_in_words(bundle.manifest.quality or {}):
        terminal.line(f"quality    {line}")
    if report is not None:
        show_parity(report, terminal)


def quality_in_words(quality: Mapping[str, float]) -> list[str]:
    """A line for how near the float bundle's words are, and one for an exam; each where there was one."""
    lines = []
    if "logit_kl" in quality:
        seen = ""
        if "tokens" in quality:
            seen = f", in {quality['tokens']:.0f} tokens of {quality['answers']:.0f} answers of the calibration set"
        lines.append(
            f"beside the float bundle{seen}: {quality['top1']:.1%} of tokens are the likeliest in both, "
            f"KL {quality['logit_kl']:.2e}, {quality['greedy']:.1%} of greedy tokens until they part"
        )
    if "questions" in quality:
        before, after = (f"{quality[name]:.1%}" for name in ("accuracy_before", "accuracy_after"))
        lines.append(f"right answers to {quality['questions']:.0f} questions: {before} before, {after} after")
    return lines


def show_parity(report: ParityReport, terminal: Terminal) -> None:
    head = ("role", "dialect", "cosine", "max diff", "mean diff", "relative", "bar", "")
    rows = [
        (
            each.role,
            each.dialect or "all",
            f"{each.cosine:.8f}",
            f"{each.max_difference:.2e}",
            f"{each.mean_difference:.2e}",
            f"{each.relative:.2e}",
            f"≤ {each.bar.relative:.0e}",
            "ok" if each.is_passed else "FAILED",
        )
        for each in report.roles
    ]
    terminal.table([head, *rows])
    for each in report.greedy:
        verdict = "ok" if each.is_passed else "FAILED"
        parted = "" if each.gap is None else f", parted where the best two logits differ by {each.gap:.2e}"
        terminal.line(
            f"greedy, {each.dialect}, {each.prompt} prompt: {each.agreed} of {each.tokens} tokens agree{parted}  {verdict}"
        )
    terminal.line(weights_in_words(report))
    verdict = "the checkpoint's  ok" if report.has_same_tokenizer else "not the checkpoint's  FAILED"
    terminal.line(f"tokenizer: {verdict}")


def weights_in_words(report: ParityReport) -> str:
    compared = sum(each.compared for each in report.weights)
    wrong = [f"{each.role}: {listed(each.differing)}" for each in report.weights if not each.is_passed]
    if not wrong:
        return f"weights: all {compared} tensors are the checkpoint's, bit for bit  ok"
    return f"weights: {len(wrong)} roles differ from the checkpoint: {'; '.join(wrong)}  FAILED"
