"""API keys: who holds one, what it opens, and that nobody sees it."""

from __future__ import annotations

import hmac
import os
import struct
from hashlib import sha256
from pathlib import Path

import pytest

from edge_runtime.errors import EdgeVLError
from edge_runtime.server.listener.keys import Keys

FIRST, SECOND = "s3cret-key-of-the-kitchen", "An0ther_secret.Key-of~32/chars+x=="
HEX = sha256(FIRST.encode()).hexdigest()


def written(folder: Path, *lines: str, mode: int = 0o600) -> Path:
    path = folder / "keys"
    path.write_text("\n".join(lines) + "\n")
    path.chmod(mode)
    return path


def refused(folder: Path, *lines: str) -> EdgeVLError:
    with pytest.raises(EdgeVLError) as told:
        Keys(written(folder, *lines))
    return told.value


def test_a_key_alone_may_infer_and_read_metrics(tmp_path: Path) -> None:
    held = Keys(written(tmp_path, "# for the kitchen", "", f"  {FIRST}  "))
    assert held.scopes_of(f"Bearer {FIRST}") == {"infer", "metrics"}
    assert len(held) == 1


def test_a_line_names_the_holder_and_its_scopes(tmp_path: Path) -> None:
    held = Keys(written(tmp_path, f"{FIRST} kitchen infer", f"{SECOND} watcher metrics"))
    kitchen, watcher = held.holder_of(f"Bearer {FIRST}"), held.holder_of(f"bearer  {SECOND}")
    assert kitchen is not None and (kitchen.name, set(kitchen.scopes)) == ("kitchen", {"infer"})
    assert watcher is not None and (watcher.name, set(watcher.scopes)) == ("watcher", {"metrics"})


def test_an_admin_may_everything(tmp_path: Path) -> None:
    held = Keys(written(tmp_path, f"{FIRST} owner admin"))
    assert held.scopes_of(f"Bearer {FIRST}") == {"infer", "metrics", "admin"}


def test_a_digest_stands_for_its_key(tmp_path: Path) -> None:
    held = Keys(written(tmp_path, f"sha256:{HEX.upper()} kitchen"))
    assert held.scopes_of(f"Bearer {FIRST}")
    assert not held.scopes_of(f"Bearer {HEX}")
    assert not held.scopes_of(f"Bearer sha256:{HEX}")


@pytest.mark.parametrize(
    "shown",
    [None, "", "Bearer", "Bearer ", FIRST, f"Basic {FIRST}", f"Bearer {FIRST}x", f"Bearer {FIRST[:-1]}"],
)
def test_whatever_else_is_shown_opens_nothing(tmp_path: Path, shown: str | None) -> None:
    assert Keys(written(tmp_path, FIRST)).scopes_of(shown) == set()


def test_characters_of_any_kind_are_no_fault(tmp_path: Path) -> None:
    assert not Keys(written(tmp_path, FIRST)).scopes_of("Bearer ÿ\udc80\x00")


def test_every_key_is_compared_whichever_is_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []
    real = hmac.compare_digest

    def counting(held: bytes, shown: bytes) -> bool:
        compared.append(held)
        return real(held, shown)

    held = Keys(written(tmp_path, FIRST, SECOND))
    monkeypatch.setattr(hmac, "compare_digest", counting)
    assert held.scopes_of(f"Bearer {FIRST}")
    assert compared == [sha256(each.encode()).digest() for each in (FIRST, SECOND)]


def test_a_key_is_nowhere_to_be_seen(tmp_path: Path) -> None:
    held = Keys(written(tmp_path, f"{FIRST} kitchen"))
    seen = f"{held!r} {held} {held.holder_of(f'Bearer {FIRST}')!r} {vars(held)}"
    assert FIRST not in seen
    assert HEX not in seen


@pytest.mark.parametrize(
    "line",
    [
        "short-key-of-21-chars",
        "123456789012345678901234567890",  # 30 digits are 100 bits
        "0123456789abcdef0123456789abcde",  # 31 hexadecimal ones 124
        f"{FIRST} kitchen root",
        f"{FIRST} kitchen infer,",
        f"{FIRST} k!tchen",
        f"{FIRST} kitchen infer more",
        f"sha256:{HEX[:-1]} kitchen",
        f"{FIRST}\x07",
        f'"{FIRST}"',
    ],
)
def test_a_line_that_cannot_be_used_is_named_by_its_number_only(tmp_path: Path, line: str) -> None:
    told = refused(tmp_path, "# a remark", line)
    assert told.code == "EVL-KEY-LINE"
    assert "line 2" in str(told)
    assert line.split()[0] not in str(told)


@pytest.mark.parametrize("key", ["twenty-two-characters-", "0123456789abcdef0123456789abcdef", "7" * 39])
def test_128_bits_are_enough(tmp_path: Path, key: str) -> None:
    assert Keys(written(tmp_path, key)).scopes_of(f"Bearer {key}")


def test_keys_and_names_are_there_once(tmp_path: Path) -> None:
    assert "same key" in str(refused(tmp_path, f"{FIRST} one", f"sha256:{HEX} two"))
    assert "same name" in str(refused(tmp_path, f"{FIRST} one", f"{SECOND} one"))


def test_a_file_without_a_key_is_none(tmp_path: Path) -> None:
    assert refused(tmp_path, "# nothing yet").code == "EVL-KEY-FILE"


def test_a_file_of_too_many_keys_is_none(tmp_path: Path) -> None:
    assert "too many" in str(refused(tmp_path, *(f"{FIRST}{number}" for number in range(1001))))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o601, 0o660, 0o644])
def test_a_file_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(EdgeVLError, match="EVL-KEY-FILE-MODE") as told:
        Keys(written(tmp_path, FIRST, mode=mode))
    assert str(tmp_path) not in str(told.value)


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a_file_of_ones_own_is_read(tmp_path: Path, mode: int) -> None:
    assert len(Keys(written(tmp_path, FIRST, mode=mode))) == 1


@pytest.mark.parametrize(
    ("tag", "owner", "is_refused"),
    [(0x02, os.geteuid(), False), (0x02, os.geteuid() + 1, True), (0x04, 0, True), (0x08, 7, True)],
)
def test_with_an_access_list_the_entries_count_and_not_the_mask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tag: int, owner: int, is_refused: bool
) -> None:
    """As a systemd credential has it: readable by its service's user through an entry of its own."""
    entries = [(0x01, 4, 0xFFFFFFFF), (tag, 4, owner), (0x10, 4, 0xFFFFFFFF), (0x20, 0, 0xFFFFFFFF)]
    raw = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    monkeypatch.setattr(os, "getxattr", lambda handle, name: raw)
    path = written(tmp_path, FIRST, mode=0o440)
    if is_refused:
        with pytest.raises(EdgeVLError, match="EVL-KEY-FILE-MODE"):
            Keys(path)
    else:
        assert len(Keys(path)) == 1


def test_what_is_no_file_of_lines_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "large").write_bytes(b"#" * (1 << 18) + b"\n")
    (tmp_path / "odd").write_bytes(b"\xff\xfe")
    for name in ("pipe", "large", "odd", "missing", "."):
        if (tmp_path / name).is_file():
            (tmp_path / name).chmod(0o600)
        with pytest.raises(EdgeVLError, match=r"EVL-KEY-FILE\b"):
            Keys(tmp_path / name)


def test_another_users_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, FIRST)
    if os.geteuid() == 0:
        os.chown(path, 12345, 12345)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    with pytest.raises(EdgeVLError, match="EVL-KEY-FILE-MODE"):
        Keys(path)


@pytest.mark.skipif(
    not Path("/proc/self/mem").exists(), reason="it takes a file that opens and does not read"
)
def test_a_file_that_cannot_be_read_to_its_end_is_told_as_one_that_cannot_be_opened() -> None:
    with pytest.raises(EdgeVLError) as told:
        Keys("/proc/self/mem")
    assert told.value.code == "EVL-KEY-FILE"
