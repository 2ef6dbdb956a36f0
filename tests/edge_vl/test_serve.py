"""`edge-vl serve` from outside: what it refuses, what it shows, and a whole life of it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import MISSING
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.server.settings import known_settings
from edge_vl.flags_of_serving import GROUPS
from tests.edge_runtime.server.test_notify import managed
from tests.edge_vl.command import (
    WAIT_S,
    Ran,
    assert_refused,
    command,
    environment,
    ran,
    spawned,
    started,
    wait_until,
)


def test_every_setting_has_a_flag_and_stands_in_one_group() -> None:
    names = [name for group in GROUPS.values() for name in group]
    assert ["bundle", *names] == list(known_settings())


def test_the_help_tells_every_flag_and_every_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert ran("serve", "--help").status == 0
    shown = " ".join(capsys.readouterr().out.split())
    for name, known in known_settings().items():
        assert name == "bundle" or f" --{name.replace('_', '-')}" in shown
        if isinstance(known.default, (int, float, str)) and not isinstance(known.default, bool):
            default = f"{known.default:g}" if isinstance(known.default, float) else str(known.default)
            assert f"(default: {default})" in shown


def test_flags_of_the_contract_are_understood() -> None:
    flags = [
        "--host",
        "127.0.0.1",
        "--port",
        "8080",
        "--api-key-file",
        "F",
        "--slots",
        "2",
        "--max-context",
        "64",
    ]
    more = ["--media-dir", "D", "--allow-remote-images", "a.example,b.example", "--kiosk", "--print-config"]
    result = ran("serve", "B", *flags, *more, "--json")
    assert result.status == 0, result.err
    told = result.record()
    assert told["allow_remote_images"] == {
        "value": ["a.example", "b.example"], "origin": "flag", "place": "flag --allow-remote-images",
    }  # fmt: skip
    assert (told["slots"]["value"], told["kiosk"]["value"], told["media_dir"]["value"]) == (2, True, "D")


def test_a_list_may_be_given_in_parts_and_a_switch_may_be_turned_off(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text("kiosk = true\n")
    flags = ["--host-name", "a,b", "--host-name", "c", "--no-kiosk", "--config", str(tmp_path / "s.toml")]
    told = ran("serve", *flags, "--print-config", "--json").record()
    assert told["host_name"]["value"] == ["a", "b", "c"]
    assert told["kiosk"]["value"] is False
    assert told["kiosk"]["over"] == [{"value": True, "origin": "file", "place": "file s.toml line 1"}]


def test_settings_are_shown_with_their_origins(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text("port = 1\nwaiting = 9\n")
    config = ("--print-config", "--config", str(tmp_path / "s.toml"))
    result = spawned("serve", *config, "--port", "3", EDGE_VL_SERVE_PORT="2")
    lines = {line.split()[0]: line.split(maxsplit=2)[1:] for line in result.out.splitlines()}
    assert lines["setting"] == ["value", "from"]
    assert lines["port"] == ["3", "flag --port (over env EDGE_VL_SERVE_PORT: 2, file s.toml line 1: 1)"]
    assert lines["waiting"] == ["9", "file s.toml line 2"]
    assert lines["slots"] == ["4", "default"]
    named = {name for name, known in known_settings().items() if known.default is not MISSING}
    assert lines.keys() == {"setting", *named}


def test_settings_that_cannot_be_are_refused_even_if_only_shown() -> None:
    assert_refused(ran("serve", "--print-config", "--kiosk-file", "F"), "EVL-SETTING-CONFLICT")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["serve"], "EVL-SETTING-MISSING", "edge-vl serve BUNDLE"),
        (["serve", "B", "--prot", "1"], "EVL-USAGE", "did you mean `--port`?"),
        (["serve", "B", "--port", "many"], "EVL-SETTING-VALUE", "flag --port"),
        (["serve", "B", "--config", "none.toml"], "EVL-CONFIG-FILE", "No such file"),
        (["serve", ""], "EVL-SETTING-VALUE", "argument BUNDLE"),
    ],
)
def test_mistakes_are_told_before_anything_begins(arguments: list[str], code: str, words: str) -> None:
    result = ran(*arguments)
    assert_refused(result, code)
    assert words in result.err


def test_a_checkpoint_is_not_taken_for_a_bundle(checkpoint: Path) -> None:
    assert_refused(ran("serve", checkpoint), "EVL-BUNDLE-IS-CHECKPOINT")


def test_without_its_libraries_it_says_what_to_install(bundle: Path) -> None:
    code = "import sys\nsys.modules['fastapi'] = None\nfrom edge_vl.cli import main\nmain(sys.argv[1:])\n"
    call = [sys.executable, "-c", code, "serve", str(bundle)]
    done = subprocess.run(
        call, env=environment(), capture_output=True, text=True, check=False, timeout=WAIT_S
    )
    assert_refused(Ran(done.returncode, done.stdout, done.stderr), "EVL-SERVE-MISSING")
    assert "pip install 'edge-vl[serve,cpu]'" in done.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["serve", "--help"], ["serve", "--print-config"]])
def test_nothing_of_the_server_is_imported_to_explain_it(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom edge_vl.cli import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "assert not {'fastapi', 'uvicorn', 'asyncio', 'numpy'} & sys.modules.keys()\n"
    )
    call = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(
        call, env=environment(), capture_output=True, text=True, check=False, timeout=WAIT_S
    )
    assert done.returncode == 0, done.stderr


class Running:
    """A server of its own process, and what it said when it was ready."""

    def __init__(self, process: subprocess.Popen[bytes], told: dict[str, Any]) -> None:
        self.process, self.told = process, told

    def get(self, path: str) -> tuple[int, Any]:
        return self._asked(urllib.request.Request(self.told["url"] + path))

    def post(self, path: str, body: object) -> tuple[int, Any]:
        data, kind = json.dumps(body).encode(), {"Content-Type": "application/json"}
        return self._asked(urllib.request.Request(self.told["url"] + path, data, kind))

    def ended(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=WAIT_S)
        return self.process.returncode, out.decode(), err.decode()

    def _asked(self, request: urllib.request.Request) -> tuple[int, Any]:
        try:
            with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)


@contextmanager
def running(bundle: Path, *arguments: str) -> Iterator[Running]:
    flags = ("--port", "0", "--max-context", "512", "--drain-notice-s", "0", "--json")
    with started("serve", bundle, *flags, *arguments) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise AssertionError(process.communicate(timeout=WAIT_S)[1].decode())
            yield Running(process, json.loads(line))
        finally:
            if process.poll() is None:
                process.kill()


def test_it_answers_a_question_and_ends_well_when_it_is_told_to(bundle: Path) -> None:
    with running(bundle, "--drain-timeout-s", "0") as server:
        assert server.told["pid"] == server.process.pid
        assert (server.told["engine"], server.told["max_context"]) == ("onnxruntime", 512)
        assert server.get("/health/ready")[0] == 200
        question = {
            "model": server.told["model"],
            "messages": [{"role": "user", "content": "hi"}],
            "max_tokens": 3,
        }
        status, answer = server.post("/v1/chat/completions", question)
        assert (status, answer["usage"]["completion_tokens"]) == (200, 3)
        server.process.send_signal(signal.SIGTERM)
        status, out, err = server.ended()
    assert (status, out) == (0, "")
    assert "Traceback" not in err
    assert re.search(r"^keys: none, for this machine only$", err, re.MULTILINE)
    assert err.splitlines()[-1] == "stopped; requests broken off: 0"


def test_an_answer_that_is_not_done_in_time_has_its_last_words(bundle: Path) -> None:
    with running(bundle, "--drain-timeout-s", "0", "--max-context", "16384") as server:
        said = [{"role": "user", "content": "hi"}]
        question = {"model": server.told["model"], "messages": said, "max_tokens": 15000, "stream": True}
        data, kind = json.dumps(question).encode(), {"Content-Type": "application/json"}
        asked = urllib.request.Request(server.told["url"] + "/v1/chat/completions", data, kind)
        with urllib.request.urlopen(asked, timeout=WAIT_S) as answer:
            assert b"data: " in answer.readline()
            server.process.send_signal(signal.SIGTERM)
            *_, error, _, done, _ = answer.readlines()
        assert b'"error"' in error
        assert done == b"data: [DONE]\n"
        status, _, err = server.ended()
    assert (status, err.splitlines()[-1]) == (0, "stopped; requests broken off: 1")


@pytest.mark.parametrize(("flags", "out"), [((), ""), (("--json",), '{"stopped": "SIGTERM"}\n')])
def test_stopped_while_it_is_still_being_loaded_it_ends_well(
    bundle: Path, flags: tuple[str, ...], out: str
) -> None:
    code = (
        "import os, signal, sys\nfrom edge_runtime.server import notify\n"
        "notify.Notifier.from_environment = lambda *_: os.kill(os.getpid(), signal.SIGTERM) or signal.pause()\n"
        "from edge_vl.cli import main\nmain(sys.argv[1:])\n"
    )
    call = [sys.executable, "-c", code, "serve", str(bundle), *flags]
    done = subprocess.run(
        call, env=environment(), capture_output=True, text=True, check=False, timeout=WAIT_S
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, out, "stopped\n")


def test_the_service_manager_is_told_when_it_answers(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with managed(str(tmp_path / "notify")) as manager:
        monkeypatch.setenv("NOTIFY_SOCKET", manager.address)
        monkeypatch.setenv("WATCHDOG_USEC", "400000")
        with running(bundle) as server:
            heard = [manager.heard()[0]]
            while heard[-1] != "READY=1":
                heard.append(manager.heard()[0])
            assert {line.partition("=")[0] for line in heard} <= {"STATUS", "WATCHDOG", "READY"}
            assert manager.heard() == ["WATCHDOG=1"]
            server.process.send_signal(signal.SIGTERM)
            while manager.heard()[0] != "STOPPING=1":
                pass
            assert server.ended()[0] == 0


def test_ctrl_c_twice_ends_it_in_words(bundle: Path) -> None:
    with running(bundle, "--drain-notice-s", "60") as server:
        server.process.send_signal(signal.SIGINT)
        assert server.process.stderr is not None
        while b"stopping" not in server.process.stderr.readline():
            pass
        server.process.send_signal(signal.SIGINT)
        status, _, err = server.ended()
    assert status == 130
    assert "Traceback" not in err
    assert err.splitlines()[-1] == "stopped; requests broken off: 0"


def test_the_front_end_outlives_its_worker(bundle: Path) -> None:
    with running(bundle) as server:
        children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
        (worker,) = map(int, children)
        os.kill(worker, signal.SIGKILL)
        assert server.process.stderr is not None
        lines = iter(server.process.stderr.readline, b"")
        assert any(b"the engine is gone" in line for line in lines)
        assert any(b"the engine is ready" in line for line in lines)
        assert server.get("/health/ready")[0] == 200
        server.process.send_signal(signal.SIGTERM)
        assert server.ended()[0] == 0


def test_a_broken_bundle_ends_it_with_what_why_and_do(own_bundle: Path) -> None:
    (own_bundle / "tokenizer.json").write_text("{}")
    result = spawned("serve", own_bundle, "--port", "0", "--json")
    assert result.status == 2
    assert result.record()["error"]["code"].startswith("EVL-BUNDLE")
    assert "what: " in result.err


def test_a_bundle_that_is_not_there_is_told_once_in_three_lines(tmp_path: Path) -> None:
    result = spawned("serve", tmp_path / "nowhere", "--port", "0")
    assert (result.status, result.out) == (2, "")
    listening, *told = result.err.splitlines()
    assert listening.startswith("listening at ")
    assert [line.partition(":")[0] for line in told] == ["what", "why", "do"]


def test_a_port_that_is_taken_is_told(bundle: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        result = spawned("serve", bundle, "--port", str(other.getsockname()[1]))
    assert_refused(result, "EVL-SERVE-PORT")


def test_anybody_is_not_let_in_without_being_asked_for_aloud(bundle: Path) -> None:
    assert_refused(spawned("serve", bundle, "--port", "0", "--host", "0.0.0.0"), "EVL-SERVE-NO-KEY")


@pytest.mark.parametrize("is_written", [False, True])
def test_what_is_said_is_written_down_only_with_a_warning(bundle: Path, is_written: bool) -> None:
    messages = [{"role": "user", "content": "what is it?"}]
    with running(bundle, *["--log-content"] * is_written) as server:
        question = {"model": server.told["model"], "messages": messages, "max_tokens": 3}
        _, reply = server.post("/v1/chat/completions", question)
        server.process.send_signal(signal.SIGTERM)
        err = server.ended()[2]
    assert ("warning: prompts and answers are written into the log" in err) == is_written
    lines = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    (content,) = [line.get("content") for line in lines if line.get("route") == "/v1/chat/completions"]
    said = reply["choices"][0]["message"]["content"]
    asked = [{"role": "user", "text": "what is it?"}]
    assert content == ({"asked": [asked], "answered": [said]} if is_written else None)


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_it_answers_without_the_streams_that_its_caller_closed(
    bundle: Path, tmp_path: Path, closed: str
) -> None:
    path = tmp_path / "socket"
    flags = ("--uds", path, "--max-context", "512", "--drain-notice-s", "0")
    call = ["sh", "-c", f'exec "$@" {closed}', "sh", *command("serve", bundle, *flags)]

    def is_ready() -> bool:
        assert process.poll() is None, "it ended by itself"
        with socket.socket(socket.AF_UNIX) as caller:
            if caller.connect_ex(str(path)):
                return False
            caller.sendall(b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return b" 200 " in caller.recv(64)

    with subprocess.Popen(call, env=environment(), stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(is_ready, "readiness")
            process.send_signal(signal.SIGTERM)
            assert process.wait(WAIT_S) == 0
        finally:
            process.kill()
