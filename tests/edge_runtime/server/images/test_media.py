"""Files below one folder, and nothing beside it."""

from __future__ import annotations

import errno
import os
import socket
import threading
from pathlib import Path

import pytest

from edge_runtime.errors import EdgeVLError, MachineFault
from edge_runtime.server.images.media import MOST_PARTS, MediaFolder

MOST = 1000
INSIDE, OUTSIDE = b"a picture inside", b"a secret outside"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "media"
    (made / "deep" / "er").mkdir(parents=True)
    for name in ("a.png", "deep/er/b.png", "with space.png", "grün.png", "100%.png", "..c.png", "%2e%2e"):
        (made / name).write_bytes(INSIDE)
    (tmp_path / "secret.png").write_bytes(OUTSIDE)
    return made


def read(folder: Path, name: str) -> bytes:
    return MediaFolder(folder, MOST).file("file:///" + name)


def outcome(media: MediaFolder, url: str) -> bytes:
    """The file, or the code of its refusal."""
    try:
        return media.file(url)
    except EdgeVLError as error:
        return error.code.encode()


def refusal(folder: Path, name: str) -> EdgeVLError:
    with pytest.raises(EdgeVLError) as caught:
        read(folder, name)
    assert str(folder) not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    "name",
    [
        *("a.png", "deep/er/b.png", "with%20space.png", "gr%C3%BCn.png", "100%25.png", "..c.png", "%61.png"),
        "%252e%252e",  # undone once only: a file of that name, not a way up
    ],
)
def test_a_file_below_the_folder_is_read(folder: Path, name: str) -> None:
    assert read(folder, name) == INSIDE


def test_the_scheme_may_be_in_capitals(folder: Path) -> None:
    assert MediaFolder(folder, MOST).file("FILE:///a.png") == INSIDE


def test_a_name_that_is_no_text_is_read(folder: Path) -> None:
    Path(os.fsdecode(bytes(folder) + b"/\xff.png")).write_bytes(INSIDE)
    assert read(folder, "%ff.png") == INSIDE


def test_the_folder_itself_may_be_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    assert read(tmp_path / "link", "deep/er/b.png") == INSIDE


@pytest.mark.parametrize(
    "name",
    [
        *("../secret.png", "deep/../../secret.png", "deep/../a.png", "./a.png", "%2e%2e/secret.png"),
        *(".%2E/secret.png", "..%2fsecret.png", "deep%2f..%2f..%2fsecret.png", "..%5csecret.png", "..\\secret.png"),
        *("/a.png", "deep//er/b.png", "deep/", "", "a.png/", "a.png%00", "a.png\0", "%00", "a.png?x", "a.png#x"),
        *("a.png%", "a.png%2", "a.png%zz", "grün.png", "with space.png", "a.png\n", "a%0a.png", "\ud800"),
        *("a/" * MOST_PARTS + "b", "a" * 5000),
    ],
)  # fmt: skip
def test_a_name_that_is_not_plainly_below_the_folder_is_refused(folder: Path, name: str) -> None:
    error = refusal(folder, name)
    assert (error.code, error.fix) == ("EVL-IMAGE-URL", "write it as file:///folder/name.jpg")


@pytest.mark.parametrize(
    "url", ["file:a.png", "file:/a.png", "file://a.png", "file://localhost/a.png", "file:////a.png", "file:"]
)
def test_a_file_has_three_slashes(folder: Path, url: str) -> None:
    with pytest.raises(EdgeVLError) as caught:
        MediaFolder(folder, MOST).file(url)
    assert caught.value.code == "EVL-IMAGE-URL"


def test_an_absolute_name_is_one_below_the_folder(folder: Path, tmp_path: Path) -> None:
    assert refusal(folder, str(tmp_path / "secret.png")[1:]).code == "EVL-IMAGE-FILE"
    assert refusal(folder, "etc/passwd").code == "EVL-IMAGE-FILE"


def test_whatever_cannot_be_read_is_refused_in_the_same_words(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)  # a socket's name is short
    (folder / "to-secret.png").symlink_to(tmp_path / "secret.png")
    (folder / "to-nothing.png").symlink_to(tmp_path / "nothing.png")
    (folder / "to-a.png").symlink_to("a.png")
    (folder / "up").symlink_to(tmp_path)
    (folder / "same").symlink_to("deep")
    os.mkfifo(folder / "pipe.png")
    os.mkfifo(tmp_path / "pipe.png")
    with socket.socket(socket.AF_UNIX) as plug:
        plug.bind("plug.png")
        names = [
            "to-secret.png",
            "to-nothing.png",
            "to-a.png",
            "up/secret.png",
            "up/nothing.png",
            "same/er/b.png",
        ]
        names += ["pipe.png", "up/pipe.png", "plug.png", "deep", "missing.png", "a.png/b.png", "b" * 300]
        texts = {str(refusal(folder, name)) for name in names}
    assert len(texts) == 1
    assert texts.pop().endswith("[EVL-IMAGE-FILE]")


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="this system has no devices")
def test_devices_are_refused() -> None:
    assert refusal(Path("/dev"), "zero").code == "EVL-IMAGE-FILE"


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_without_permission_is_refused_as_if_it_were_missing(folder: Path) -> None:
    (folder / "a.png").chmod(0)
    assert str(refusal(folder, "a.png")) == str(refusal(folder, "missing.png"))


def test_a_file_over_the_limit_is_not_read(folder: Path) -> None:
    with (folder / "sparse.png").open("wb") as file:
        file.truncate(50 * 2**30)
    (folder / "full.png").write_bytes(bytes(MOST))
    error = refusal(folder, "sparse.png")
    assert (error.code, error.why) == ("EVL-IMAGE-BOMB", f"{50 * 2**30} bytes, the limit is {MOST}")
    assert len(read(folder, "full.png")) == MOST


def test_a_file_that_says_it_is_empty_and_never_ends_is_read_up_to_the_limit() -> None:
    proc = Path("/proc/self")
    if not (proc / "smaps").exists():
        pytest.skip("this system has no such file")
    assert refusal(proc, "smaps").code == "EVL-IMAGE-BOMB"


def test_a_folder_that_turns_into_a_link_meanwhile_lets_nobody_out(folder: Path, tmp_path: Path) -> None:
    """Two threads: one exchanges a folder for a link to its parent, one reads what then would lie outside."""
    (folder / "deep" / "secret.png").write_bytes(INSIDE)
    (folder / "up").symlink_to(tmp_path)
    is_over = threading.Event()

    def exchange() -> None:
        while not is_over.is_set():
            for old, new in (("deep", "away"), ("up", "deep"), ("deep", "up"), ("away", "deep")):
                (folder / old).rename(folder / new)

    thread = threading.Thread(target=exchange)
    thread.start()
    media, seen = MediaFolder(folder, MOST), set()
    try:
        for _ in range(5000):
            seen.add(outcome(media, "file:///deep/secret.png"))
    finally:
        is_over.set()
        thread.join()
    assert seen == {INSIDE, b"EVL-IMAGE-FILE"}


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_file_exchanged_between_look_and_opening_is_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    look_really = os.stat

    def exchanging(name: bytes, *, dir_fd: int, follow_symlinks: bool) -> os.stat_result:
        seen = look_really(name, dir_fd=dir_fd, follow_symlinks=follow_symlinks)
        (folder / "a.png").unlink()
        if kind == "link":
            (folder / "a.png").symlink_to(tmp_path / "secret.png")
        else:
            os.mkfifo(folder / "a.png")
        return seen

    media = MediaFolder(folder, MOST)
    monkeypatch.setattr("edge_runtime.server.images.media.os.stat", exchanging)
    got = outcome(media, "file:///a.png")
    monkeypatch.undo()
    assert got == b"EVL-IMAGE-FILE"


def test_no_descriptor_stays_open(folder: Path) -> None:
    def count() -> int:
        return len(os.listdir("/proc/self/fd"))

    os.mkfifo(folder / "pipe.png")
    before = count()
    for name in ("a.png", "deep/er/b.png", "deep/er/missing.png", "deep", "pipe.png", "deep/er/b.png/c"):
        outcome(MediaFolder(folder, MOST), "file:///" + name)
    assert count() == before


def test_a_folder_that_went_away_is_a_fault_of_the_machine(tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    media = MediaFolder(tmp_path / "media", MOST)
    (tmp_path / "media").rmdir()
    with pytest.raises(MachineFault, match="EVL-IMAGE-FOLDER") as caught:
        media.file("file:///a.png")
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO])
def test_a_device_that_fails_is_not_told_as_a_missing_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    open_really = os.open

    def failing(name: str | bytes, flags: int, *, dir_fd: int | None = None) -> int:
        if name == b"a.png":
            raise OSError(number, os.strerror(number))
        return open_really(name, flags, dir_fd=dir_fd)

    monkeypatch.setattr("edge_runtime.server.images.media.os.open", failing)
    with pytest.raises(MachineFault, match="EVL-IMAGE-FOLDER"):
        read(folder, "a.png")


def test_a_relative_folder_stays_where_it_was(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    media = MediaFolder(Path("media"), MOST)
    monkeypatch.chdir("/")
    assert media.file("file:///a.png") == INSIDE


@pytest.mark.parametrize("name", ["none", "n" * 300])  # the second one the system will not even look for
def test_a_folder_that_is_none_is_named_at_the_start(tmp_path: Path, name: str) -> None:
    with pytest.raises(EdgeVLError, match="--media-dir") as caught:
        MediaFolder(tmp_path / name, MOST)
    assert caught.value.code == "EVL-IMAGE-MEDIA"
