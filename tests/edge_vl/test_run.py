"""`edge-vl run`: the answer, its record, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from tests.edge_vl.command import assert_refused, command, environment, ran, spawned, started

KEYS = {
    "text": str,
    "token_ids": list,
    "finish_reason": str,
    "usage": dict,
    "timings_ms": dict,
    "tokens_per_s": float,
    "engine": str,
    "engine_reason": str,
    "precision": dict,
    "peak_rss_mib": float,
}
MARK = "<image_placeholder>"


def test_the_record_has_exactly_the_keys_of_the_contract(bundle: Path, picture: Path) -> None:
    result = ran("run", bundle, "--prompt", "hi", "--image", picture, "--max-tokens", "5", "--json")
    assert (result.status, result.err) == (0, "")
    (line,) = result.out.splitlines()
    record = json.loads(line)
    assert {key: type(value) for key, value in record.items()} == KEYS
    assert set(record["usage"]) == {"prompt_tokens", "image_tokens", "cached_tokens", "completion_tokens"}
    assert set(record["timings_ms"]) == {"decode_image", "preprocess", "vision", "prefill", "decode", "total"}
    assert record["precision"] == dict.fromkeys(("vision_low", "adaptor", "embed", "decoder"), "fp32")
    assert (record["engine"], record["finish_reason"]) == ("onnxruntime", "length")
    assert record["usage"]["image_tokens"] == 16
    assert record["usage"]["completion_tokens"] == len(record["token_ids"]) == 5


def test_the_answer_and_the_record_say_the_same(bundle: Path) -> None:
    plain = ran("run", bundle, "--prompt", "hi", "--max-tokens", "9")
    record = ran("run", bundle, "--prompt", "hi", "--max-tokens", "9", "--json").record()
    assert plain.out == record["text"] + "\n"
    assert len(record["text"]) == 9


def test_a_stop_text_ends_the_answer_before_itself(bundle: Path) -> None:
    text = ran("run", bundle, "--prompt", "hi", "--max-tokens", "9", "--json").record()["text"]
    record = ran("run", bundle, "--prompt", "hi", "--stop", text[3:6], "--json").record()
    assert record["finish_reason"] == "stop"
    assert record["text"] == text[: text.index(text[3:6])]


def test_a_seed_repeats_a_drawn_answer(bundle: Path) -> None:
    flags = ("--temperature", "1.5", "--top-p", "0.9", "--top-k", "50", "--repetition-penalty", "1.1")
    answers = [
        ran("run", bundle, "--prompt", "hi", "--max-tokens", "20", "--seed", seed, *flags).out
        for seed in ("7", "7", "8")
    ]
    assert answers[0] == answers[1] != answers[2]


def test_images_may_be_given_together_or_one_by_one(bundle: Path, picture: Path) -> None:
    flags = ("--prompt", "hi", "--max-tokens", "1", "--json")
    together = ran("run", bundle, "--image", picture, picture, *flags).record()
    apart = ran("run", bundle, "--image", picture, "--image", picture, *flags).record()
    assert together["usage"]["image_tokens"] == apart["usage"]["image_tokens"] == 32


def test_marks_place_the_images(bundle: Path, picture: Path) -> None:
    raw = ran(
        "run",
        bundle,
        "--prompt",
        "a<image>b",
        "--raw-prompt",
        "--image",
        picture,
        "--max-tokens",
        "1",
        "--json",
    )
    assert raw.record()["usage"] == {
        "prompt_tokens": 19, "image_tokens": 16, "cached_tokens": 0, "completion_tokens": 1
    }  # fmt: skip
    chat = ran("run", bundle, "--prompt", f"a{MARK}b", "--image", picture, "--max-tokens", "1", "--json")
    assert chat.record()["usage"]["image_tokens"] == 16


@pytest.mark.parametrize(
    ("arguments", "counts"),
    [
        (["--prompt", "<image> <image>", "--raw-prompt", "--image", "PICTURE"], "2 marks and 1 images"),
        (["--prompt", "no mark", "--raw-prompt", "--image", "PICTURE"], "0 marks and 1 images"),
        (["--prompt", "<image>", "--raw-prompt"], "1 marks and 0 images"),
        (["--prompt", f"{MARK} {MARK}", "--image", "PICTURE"], "2 marks and 1 images"),
        (["--prompt", MARK], "1 marks and 0 images"),
    ],
)
def test_marks_and_images_must_match(arguments: list[str], counts: str, bundle: Path, picture: Path) -> None:
    result = ran("run", bundle, *[each.replace("PICTURE", str(picture)) for each in arguments])
    assert_refused(result, "EVL-PROMPT-IMAGES")
    assert counts in result.err


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        (["--max-tokens", "0"], "EVL-MAX-TOKENS"),
        (["--max-tokens", "-1"], "EVL-MAX-TOKENS"),
        (["--max-tokens", "99999999999999999999"], "EVL-CONTEXT-OVERFLOW"),
        (["--max-context", "0"], "EVL-CONTEXT-LIMIT"),
        (["--max-context", "-1"], "EVL-CONTEXT-LIMIT"),
        (["--max-context", "32769"], "EVL-CONTEXT-LIMIT"),
        (["--max-context", "16"], "EVL-CONTEXT-OVERFLOW"),
        (["--temperature", "nan"], "EVL-SAMPLING-TEMPERATURE"),
        (["--temperature", "inf"], "EVL-SAMPLING-TEMPERATURE"),
        (["--temperature", "-1"], "EVL-SAMPLING-TEMPERATURE"),
        (["--temperature", "9"], "EVL-SAMPLING-TEMPERATURE"),
        (["--top-p", "0"], "EVL-SAMPLING-TOP-P"),
        (["--top-p", "1.01"], "EVL-SAMPLING-TOP-P"),
        (["--top-k", "-1"], "EVL-SAMPLING-TOP-K"),
        (["--repetition-penalty", "0"], "EVL-SAMPLING-REPETITION-PENALTY"),
        (["--seed", "-1"], "EVL-SAMPLING-SEED"),
        (["--seed", str(1 << 64)], "EVL-SAMPLING-SEED"),
        (["--stop", ""], "EVL-STOP-STRINGS"),
        (["--engine", "abacus"], "EVL-ENGINE-UNKNOWN"),
        (["--system", "\udcff"], "EVL-TEXT-UNICODE"),
        (["--image", "/nowhere/at/all.png"], "EVL-IMAGE-FILE"),
        (["--image", "/"], "EVL-IMAGE-FILE"),
        (["--image", "/dev/zero"], "EVL-IMAGE-FILE"),
        (["--image", "a\0b"], "EVL-IMAGE-FILE"),
        (["--image", "x" * 5000], "EVL-IMAGE-FILE"),
    ],
)
def test_a_flag_out_of_its_range_is_refused(flags: list[str], code: str, bundle: Path) -> None:
    assert_refused(ran("run", bundle, "--prompt", "hi", *flags), code)


def test_what_is_no_picture_is_refused(bundle: Path, checkpoint: Path) -> None:
    result = ran("run", bundle, "--prompt", "hi", "--image", checkpoint / "config.json")
    assert_refused(result, "EVL-IMAGE-FORMAT")


def test_an_image_bomb_is_refused_before_it_is_unpacked(bundle: Path, tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.png"
    Image.new("1", (16_000, 16_000)).save(bomb)
    start = time.perf_counter()
    assert_refused(ran("run", bundle, "--prompt", "hi", "--image", bomb), "EVL-IMAGE-BOMB")
    assert time.perf_counter() - start < 2.0


@pytest.mark.parametrize("prompt", ["a\udceda\udca0", "\ud800"])
def test_text_that_is_no_unicode_is_refused(prompt: str, bundle: Path) -> None:
    assert_refused(ran("run", bundle, "--prompt", prompt), "EVL-TEXT-UNICODE")


def test_bytes_of_the_shell_that_are_no_utf8_are_refused(bundle: Path) -> None:
    result = spawned("run", bundle, "--prompt", b"a\xffb".decode("utf-8", "surrogateescape"))
    assert_refused(result, "EVL-TEXT-UNICODE")


@pytest.mark.parametrize(
    "prompt", ["", "   ", "\n\n", "\0", "a\0b", "\x1b[2J", "\u202eabc", "<｜end▁of▁sentence｜>"]
)
def test_odd_but_valid_text_is_answered(prompt: str, bundle: Path) -> None:
    result = ran("run", bundle, "--prompt", prompt, "--max-tokens", "2")
    assert (result.status, result.err, len(result.out)) == (0, "", 3)


def test_a_prompt_beyond_the_context_is_refused_with_both_numbers_in_bounded_time(bundle: Path) -> None:
    start = time.perf_counter()
    result = ran("run", bundle, "--prompt", "\u0301" * 10**6)
    assert_refused(result, "EVL-CONTEXT-OVERFLOW")
    assert "2000208 tokens" in result.err
    assert "holds 32768" in result.err
    assert time.perf_counter() - start < 60.0


def test_under_json_a_refusal_is_the_last_line_of_stdout(bundle: Path) -> None:
    result = ran("run", bundle, "--prompt", "hi", "--top-p", "0", "--json")
    assert result.status == 2
    assert result.record()["error"]["code"] == "EVL-SAMPLING-TOP-P"


def test_pieces_come_as_they_are_made(bundle: Path) -> None:
    with started("run", bundle, "--prompt", "hi", "--max-tokens", "32000") as process:
        assert process.stdout is not None
        first = process.stdout.read(1)
        assert first.isascii()
        assert first
        assert process.poll() is None, "the first letter came only with the last"
        process.terminate()
        process.communicate()


def test_it_runs_where_the_workbench_cannot_be_imported(bundle: Path, picture: Path) -> None:
    code = (
        "import sys\n"
        "class Gone:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name.partition('.')[0] in {'torch', 'transformers', 'onnx', 'onnxscript', 'onnx_ir', 'safetensors'}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Gone())\n"
        "from edge_vl.cli import main\n"
        "main()\n"
    )

    def without(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        call = [sys.executable, "-c", code, *map(str, arguments)]
        return subprocess.run(call, capture_output=True, text=True, env=environment(), check=False)

    done = without("run", bundle, "--prompt", "hi", "--image", picture, "--max-tokens", "2")
    assert (done.returncode, done.stderr, len(done.stdout)) == (0, "", 3)
    done = without("verify", bundle)
    assert (done.returncode, done.stderr) == (0, "")
    done = without("export", "CHECKPOINT", "OUT")
    assert done.returncode == 2
    assert "[EVL-WORKBENCH-MISSING]" in done.stderr


def test_nothing_is_reported_to_anybody_and_nothing_is_left_behind(bundle: Path, tmp_path: Path) -> None:
    """ONNX Runtime would leave a session file, a device's identifier and reports to be sent."""
    places = {name: str(tmp_path / name) for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME")}
    for place in places.values():
        Path(place).mkdir()
    # Either variable would silence it without our doing.
    env = {
        key: value
        for key, value in environment(**places).items()
        if key not in ("CI", "ORT_DISABLE_TELEMETRY")
    }
    call = command("run", bundle, "--prompt", "hi", "--max-tokens", "2")
    done = subprocess.run(call, capture_output=True, text=True, env=env, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert [path for place in places.values() for path in Path(place).rglob("*")] == []
