"""The README's commands are the commands there are."""

from __future__ import annotations

import importlib
import io
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest
from PIL import Image

from demo.full_calibration import table_from_report as quantised_table
from demo.full_engines import table_from_report
from demo.full_size import row_from_report
from demo.random_checkpoint import write_random_checkpoint
from demo.rivals.__main__ import table_from_report as rivals_table
from demo.serving.table import table as serving_table
from demo.sizes import SIZES
from edge_runtime.errors import EdgeVLError
from edge_vl.cli import exit_status
from edge_vl.parser import parsed_arguments
from edge_vl.terminal import Terminal

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
SHELL = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
LINES = [line for block in SHELL for line in block.splitlines() if line and not line.startswith("#")]
EDGE_VL = [line for line in LINES if "edge-vl " in line and not line.startswith("pip ")]
MODULES = [line for line in LINES if re.match(r"\S+python -m demo\.", line)]
MAKE = [line for line in LINES if line.startswith("make ")]


def arguments_of(line: str) -> list[str]:
    words = shlex.split(line)
    return words[[word.endswith("edge-vl") for word in words].index(True) + 1 :]


def test_the_readme_shows_commands() -> None:
    assert len(EDGE_VL) >= 4
    assert MAKE == ["make demo", "make test"]
    assert len(MODULES) == 2


@pytest.mark.parametrize("line", EDGE_VL)
def test_every_command_is_understood(line: str) -> None:
    parsed_arguments(arguments_of(line))


@pytest.mark.parametrize("line", MODULES)
def test_every_module_is_there_and_understands_its_line(line: str) -> None:
    words = shlex.split(line)
    module = importlib.import_module(words[2])
    if hasattr(module, "__path__"):
        module = importlib.import_module(f"{words[2]}.__main__")
    module.parser_of_command().parse_args(words[3:])


def test_a_wrong_command_would_be_noticed() -> None:
    with pytest.raises(EdgeVLError):
        parsed_arguments(["run", "bundle", "--promt", "hello"])


@pytest.mark.parametrize("line", MAKE)
def test_every_make_target_is_there(line: str) -> None:
    target = line.split()[1]
    assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE)


def test_links_lead_to_files_of_this_checkout() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target


def test_its_figures_of_serving_are_those_of_the_committed_files() -> None:
    shown = README.partition("<!-- serving:begin -->\n")[2].partition("\n<!-- serving:end -->")[0]
    assert shown == serving_table(), "put there what `python -m demo.serving.table` prints"
    assert shown.count("\n") > 5


def test_its_export_figures_are_those_of_the_committed_files() -> None:
    reports = sorted((ROOT / "docs" / "export").glob("*.json"))
    assert reports
    for path in reports:
        assert row_from_report(json.loads(path.read_text()), path.name) in README


def test_what_it_says_about_verify_is_in_the_committed_file() -> None:
    verify = json.loads((ROOT / "docs" / "export" / "1.3b-hybrid-fp32.json").read_text())["verify"]
    largest = max(role["relative"] for role in verify["parity"]["roles"])
    said = " ".join(README.split())
    assert f"took {verify['seconds']:.0f} s and held {verify['peak_held_mib'] / 1024:.1f} GiB" in said
    assert f"largest relative difference of a role was {largest:.1e}".replace("e-0", "e-") in said
    assert all(greedy["agreed"] == greedy["tokens"] == 32 for greedy in verify["parity"]["greedy"])


def test_its_table_of_engines_is_that_of_the_committed_files() -> None:
    reports = sorted((ROOT / "docs" / "engines").glob("*.json"))
    assert reports
    for path in reports:
        assert table_from_report(json.loads(path.read_text()), path.name) in README


def test_its_tables_of_quantisation_are_those_of_the_committed_files() -> None:
    reports = sorted((ROOT / "docs" / "calibration").glob("full-*.json"))
    assert reports
    for path in reports:
        assert quantised_table(json.loads(path.read_text()), path.name) in README


def test_its_table_of_rivals_is_that_of_the_committed_file() -> None:
    name = "rivals-1.3b-hybrid.json"
    report = json.loads((ROOT / "docs" / "calibration" / name).read_text())
    assert rivals_table(report, name) in README


def test_what_it_says_of_the_quantised_demo_model_is_in_the_committed_files() -> None:
    files = ("calibration/demo-gptq", "demo/hybrid", "calibration/demo-rtn")
    gptq, plain, nearest = (json.loads((ROOT / "docs" / f"{name}.json").read_text()) for name in files)
    assert gptq["questions"] == plain["questions"] == nearest["questions"] == "held-out"
    shares = [100 * each["score"]["overall"] for each in (gptq, plain, nearest)]
    said = " ".join(README.split())
    assert f"answer {shares[0]:.1f} % of the first 1,500, the float model {shares[1]:.1f} %" in said
    assert f"rounded to nearest, the default method, it is {shares[2]:.1f} %" in said
    made = {"block": "32", "vision": "int8", "decoder": "int4", "head": "int8"}
    assert [each["recipe"] | made for each in (gptq, nearest)] == [gptq["recipe"], nearest["recipe"]]
    assert (gptq["recipe"]["method"], nearest["recipe"]["method"]) == ("gptq", "rtn")
    assert gptq["calibration"]["samples"] == nearest["calibration"]["samples"] == 256
    assert max(shares[1] - share for share in shares) <= 1


def test_what_it_says_of_four_hundred_questions_a_kind_is_in_the_committed_files() -> None:
    files = ("calibration/demo-gptq-6000", "demo/hybrid-6000")
    gptq, plain = (json.loads((ROOT / "docs" / f"{name}.json").read_text()) for name in files)
    assert gptq["questions"] == plain["questions"] == "held-out"
    assert gptq["score"]["n"] == plain["score"]["n"] == 6000
    made = {"method": "gptq", "block": "32", "vision": "int8", "decoder": "int4", "head": "int8"}
    assert gptq["recipe"] | made == gptq["recipe"]
    assert gptq["calibration"]["samples"] == 256
    said, shares = " ".join(README.split()), [100 * each["score"]["overall"] for each in (gptq, plain)]
    assert f"answer {shares[0]:.1f} % of 6,000 held-out questions, the float model {shares[1]:.1f} %" in said
    before, after = plain["score"]["tasks"], gptq["score"]["tasks"]
    lost = {task: 100 * (before[task] - after[task]) for task in before}
    assert shares[1] - shares[0] <= 1
    assert max(lost.values()) <= 2
    assert f"none loses more than {max(lost.values()):.1f} points" in said
    assert f"go from {100 * before['box']:.1f} to {100 * after['box']:.1f} %" in said


def test_what_it_says_of_the_demo_model_is_in_the_committed_files() -> None:
    tasks = {
        name: json.loads((ROOT / "docs" / "demo" / f"{name}.json").read_text())["score"]["tasks"]
        for name in ("hybrid-6000", "low-stage3")
    }
    assert (
        f"small print ({tasks['hybrid-6000']['small_print']:.1%} of held-out codes".replace("%", " %")
        in README
    )
    assert tasks["low-stage3"]["small_print"] == 0, "none without its high-resolution tower"


def test_it_speaks_of_measured_answers_only_where_there_are_some() -> None:
    table = README.split("<!-- bench:begin -->")[1].split("<!-- bench:end -->")[0]
    assert "|" in table


def test_its_commands_and_its_python_work_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_random_checkpoint(SIZES["tiny-low"], tmp_path / "deepseek-vl-1.3b-chat")
    Image.new("RGB", (64, 48), "teal").save("street.jpg")
    (tmp_path / "photos").mkdir()
    Image.linear_gradient("L").save("photos/gradient.png")
    for line in EDGE_VL:
        if (arguments := arguments_of(line))[0] == "serve":
            assert_serves([*arguments, "--port", "0"])
            continue
        out, err = io.StringIO(), io.StringIO()
        status = exit_status(arguments_of(line), Terminal(out, err, io.StringIO("What is it?\n")))
        assert status == 0, (line, err.getvalue())
    for example in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        exec(compile(example, "README.md", "exec"), {})  # noqa: S102  (it is our own)
    assert capsys.readouterr().out


def assert_serves(arguments: list[str]) -> None:
    """It listens, becomes ready, and ends when it is told to."""
    command = [sys.executable, "-m", "edge_vl", *arguments, "--json", "--drain-notice-s", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    with process.stdout:
        url = json.loads(process.stdout.readline())["url"]
        with urlopen(f"{url}/health/ready") as reply:
            assert reply.status == 200
        process.terminate()
        assert process.wait(60) == 0


def test_the_bars_that_it_says_are_missed_are_those_of_the_model_card() -> None:
    card = (ROOT / "demo/model/MODEL_CARD.md").read_text(encoding="utf-8")
    verdicts = re.findall(
        r"^Of [\d,]+ questions: (?:missed bars: (.+)|every bar is met)\.$", card, re.MULTILINE
    )
    assert len(verdicts) == 2  # of many questions and of more: what is missed of either
    said = {
        "shape": "shapes",
        "count": "counts",
        "code": "large codes",
        "meter": "meters",
        "the boxes' IoU": "boxes",
    }
    (sentence,) = re.findall(r"misses its bars on ([^.]+)\.", README)
    wanted = {said[each.partition(" by ")[0]] for missed in verdicts if missed for each in missed.split(", ")}
    assert set(re.split(r", | and ", sentence)) == wanted
