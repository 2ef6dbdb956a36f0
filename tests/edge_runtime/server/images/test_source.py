"""The pictures of a request: where they may come from, how many, and how much of them together."""

from __future__ import annotations

import asyncio
import base64
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from edge_runtime.errors import EdgeVLError
from edge_runtime.server.images.address import is_public_address
from edge_runtime.server.images.remote import Network
from edge_runtime.server.images.source import ImageRules, ImageSource
from tests.edge_runtime.server.images.bombs import DECODED, REFUSED
from tests.edge_runtime.server.images.far_host import HOST, Certificate, FarHost, answer, network_to
from tests.edge_runtime.test_picture import SMALL, grey_png

PNG, JPEG = SMALL["png"], SMALL["jpeg"]  # 17 x 11 pixels both
PIXELS = 17 * 11
RULES = ImageRules()


def data_url(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()


def files(
    urls: Sequence[str], rules: ImageRules = RULES, network: Network | None = None
) -> tuple[bytes, ...]:
    return asyncio.run(ImageSource(rules, network).files(urls))


def refusal(urls: Sequence[str], rules: ImageRules = RULES, network: Network | None = None) -> EdgeVLError:
    with pytest.raises(EdgeVLError) as caught:
        files(urls, rules, network)
    assert caught.value.exit_status == 2
    return caught.value


# -- where from --------------------------------------------------------------------------------


def test_no_pictures_are_no_files() -> None:
    assert files([]) == ()


def test_pictures_come_in_the_order_of_their_addresses(tmp_path: Path, certificate: Certificate) -> None:
    (tmp_path / "a.jpg").write_bytes(JPEG)
    rules = ImageRules(media_dir=tmp_path, remote_hosts=frozenset({HOST}), fetch_deadline_s=20)
    wanted = [data_url(PNG), f"https://{HOST}/b", "file:///a.jpg", f"https://{HOST}/b", data_url(PNG)]

    async def run() -> tuple[tuple[bytes, ...], int]:
        far = FarHost([answer(SMALL["webp"])])
        async with far.open(certificate):
            return await ImageSource(rules, network_to(far.port, certificate)).files(wanted), far.came

    found, came = asyncio.run(run())
    assert found == (PNG, SMALL["webp"], JPEG, SMALL["webp"], PNG)
    assert came == 1  # what is named twice is fetched once


def test_one_picture_is_had_alone() -> None:
    assert asyncio.run(ImageSource(ImageRules()).file(data_url(PNG))) == PNG


def test_a_file_is_refused_without_a_folder_whether_it_exists_or_not(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    texts = {str(refusal([f"file://{tmp_path}/{name}.png"])) for name in ("a", "none")}
    assert len(texts) == 1
    assert "--media-dir" in texts.pop()


def test_nothing_is_looked_up_or_connected_to_without_hosts() -> None:
    looked_up: list[str] = []

    def resolve(host: str) -> Sequence[str]:
        looked_up.append(host)
        return ["127.0.0.1"]

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        port = int(listener.getsockname()[1])
        network = Network(resolve, lambda _: True, port)
        for host in (f"127.0.0.1:{port}", "127.0.0.1", "0x7f000001", "2130706433", "127.1", HOST):
            error = refusal([f"https://{host}/a.png"], network=network)
            assert error.code == "EVL-IMAGE-REMOTE"
            assert "--allow-remote-images" in error.fix
            assert refusal([f"http://{host}/a.png"], network=network).code == "EVL-IMAGE-URL"
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert not looked_up


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "0x7f000001", "2130706433", "127.1", "[::ffff:127.0.0.1]", "[::1]", "localhost"]
)
def test_no_spelling_of_this_machine_is_fetched_from_with_hosts(certificate: Certificate, host: str) -> None:
    rules = ImageRules(remote_hosts=frozenset({HOST}))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        network = network_to(int(listener.getsockname()[1]), certificate)
        assert refusal([f"https://{host}/a.png"], rules, network).code == "EVL-IMAGE-URL"
        with pytest.raises(BlockingIOError):
            listener.accept()


@pytest.mark.parametrize(
    "url",
    [
        *("http://pictures.example/a.png", "HTTP://pictures.example", "ftp://a.example/a", "//a.example/a", "a.png"),
        *("/home/user/a.png", "../a.png", "C:\\a.png", "", " ", "\0", "javascript:alert(1)", "blob:https://a/b"),
        *("gopher://a.example", " https://pictures.example/a", "\thttps://pictures.example/a", "ht\ntps://a.example/"),
        *("url:data:image/png;base64,", "iVBORw0KGgo=", "ｈttps://pictures.example/a", "s3://a/b", "https", "data"),
        "\ud800",
    ],
)  # fmt: skip
def test_any_other_address_is_refused_with_the_right_form_and_without_being_repeated(
    tmp_path: Path, url: str
) -> None:
    error = refusal([url], ImageRules(media_dir=tmp_path, remote_hosts=frozenset({HOST})))
    assert error.code == "EVL-IMAGE-URL"
    assert "data:image/png;base64," in error.fix
    if len(url) > 6:
        assert url not in str(error)


# -- how much ----------------------------------------------------------------------------------


def test_too_many_pictures_are_refused_before_any_is_looked_at() -> None:
    error = refusal(["no address at all"] * 9)
    assert (error.code, error.why) == ("EVL-IMAGE-COUNT", "9 pictures, the limit is 8")
    assert len(files([data_url(PNG)] * 8)) == 8


def test_pixels_of_all_pictures_together_have_a_limit() -> None:
    urls = [data_url(PNG), data_url(JPEG), data_url(PNG)]  # what comes twice counts twice
    assert len(files(urls, ImageRules(most_pixels_in_all=3 * PIXELS))) == 3
    error = refusal(urls, ImageRules(most_pixels_in_all=3 * PIXELS - 1))
    assert (error.code, error.what) == ("EVL-IMAGE-BOMB", "the request's pictures are too large together")


def test_bytes_of_all_pictures_together_have_a_limit() -> None:
    urls, length = [data_url(PNG), data_url(JPEG), data_url(PNG)], 2 * len(PNG) + len(JPEG)
    assert len(files(urls, ImageRules(most_bytes_in_all=length))) == 3
    assert refusal(urls, ImageRules(most_bytes_in_all=length - 1)).code == "EVL-IMAGE-BOMB"


def test_eight_pictures_of_25_megapixels_are_refused_for_their_sum() -> None:
    urls = [data_url(grey_png(5000, 5000) + bytes([turn])) for turn in range(5)]
    assert len(files(urls[:4])) == 4
    assert "100000000 pixels" in refusal(urls).why


def test_each_picture_has_limits_of_its_own() -> None:
    for rules in (ImageRules(most_bytes=50), ImageRules(most_pixels=100), ImageRules(most_side=16)):
        assert refusal([data_url(PNG)], rules).code == "EVL-IMAGE-BOMB"


def test_a_file_of_the_folder_is_held_to_the_same_limits(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    (tmp_path / "huge.png").write_bytes(REFUSED["65535x1"].make())
    (tmp_path / "notes.txt").write_text("secret")
    assert refusal(["file:///a.png"], ImageRules(media_dir=tmp_path, most_bytes=50)).code == "EVL-IMAGE-BOMB"
    assert refusal(["file:///huge.png"], ImageRules(media_dir=tmp_path)).code == "EVL-IMAGE-BOMB"
    error = refusal(["file:///notes.txt"], ImageRules(media_dir=tmp_path))
    assert error.code == "EVL-IMAGE-FORMAT"
    assert not re.search("secret|notes", str(error))


def test_a_fetched_file_is_held_to_the_same_limits(certificate: Certificate) -> None:
    def code(body: bytes, rules: ImageRules) -> str:
        async def run() -> str:
            far = FarHost([answer(body)])
            async with far.open(certificate):
                with pytest.raises(EdgeVLError) as caught:
                    await ImageSource(rules, network_to(far.port, certificate)).file(f"https://{HOST}/a")
            return caught.value.code

        return asyncio.run(run())

    hosts = frozenset({HOST})
    assert code(PNG, ImageRules(remote_hosts=hosts, most_bytes=50)) == "EVL-IMAGE-BOMB"
    assert code(PNG, ImageRules(remote_hosts=hosts, fetch_most_bytes=50)) == "EVL-IMAGE-BOMB"
    assert code(REFUSED["65535x1"].make(), ImageRules(remote_hosts=hosts)) == "EVL-IMAGE-BOMB"
    assert code(b"<html>", ImageRules(remote_hosts=hosts)) == "EVL-IMAGE-FORMAT"


def test_the_limits_are_those_the_engine_has() -> None:
    from edge_runtime.picture_limits import PictureLimits

    rules, limits = ImageRules(), PictureLimits()
    assert (rules.most_pixels, rules.most_side) == (limits.max_pixels, limits.max_side)
    assert rules.most_bytes <= limits.max_file_bytes


# -- which of them -----------------------------------------------------------------------------


def test_of_several_pictures_the_refused_one_is_named() -> None:
    alone = refusal([data_url(b"text")])
    among = refusal([data_url(PNG), data_url(b"text"), data_url(JPEG)])
    assert among.what == f"picture 2: {alone.what}"
    assert (among.code, among.why, among.fix) == (alone.code, alone.why, alone.fix)


def test_the_first_refusal_ends_the_other_pictures(certificate: Certificate) -> None:
    async def run() -> None:
        far = FarHost([], stays=True)
        async with far.open(certificate):
            rules = ImageRules(remote_hosts=frozenset({HOST}), fetch_deadline_s=60)
            source = ImageSource(rules, network_to(far.port, certificate))
            with pytest.raises(EdgeVLError) as caught:
                await asyncio.wait_for(source.files([f"https://{HOST}/a", data_url(b"text")]), 20)
            assert caught.value.code == "EVL-IMAGE-FORMAT"
            assert len(asyncio.all_tasks()) <= 2  # this one, and the far host's

    asyncio.run(run())


def test_whoever_asked_can_go_away() -> None:
    async def run() -> None:
        asking = asyncio.ensure_future(ImageSource(ImageRules()).files([data_url(PNG), data_url(JPEG)]))
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    asyncio.run(run())


def test_the_loop_stays_free_while_a_picture_is_looked_at() -> None:
    odd = DECODED["1x1"].make() + bytes(11 * 2**20)

    async def run() -> int:
        turns, looking = 0, asyncio.ensure_future(ImageSource(ImageRules()).file(data_url(odd)))
        while not looking.done():
            await asyncio.sleep(0)
            turns += 1
        assert await looking == odd
        return turns

    assert asyncio.run(run()) > 3


# -- the rules themselves ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: ImageRules(most_images=0),
        lambda: ImageRules(most_bytes=-1),
        lambda: ImageRules(most_pixels_in_all=0),
        lambda: ImageRules(fetch_deadline_s=0.0),
    ],
)
def test_limits_are_positive(make: Callable[[], ImageRules]) -> None:
    with pytest.raises(EdgeVLError, match="EVL-IMAGE-RULES"):
        make()


def test_hosts_are_checked_when_the_rules_are_made() -> None:
    with pytest.raises(EdgeVLError, match="EVL-IMAGE-HOSTS"):
        ImageRules(remote_hosts=frozenset({"10.0.0.1"}))


def test_a_folder_that_is_none_is_said_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(EdgeVLError, match="EVL-IMAGE-MEDIA"):
        ImageSource(ImageRules(media_dir=tmp_path / "none"))


def test_the_network_outside_is_public_and_on_one_port() -> None:
    network = Network()
    assert (network.port, network.is_allowed) == (443, is_public_address)
    assert network.trust.check_hostname


def test_neither_numpy_nor_pillow_is_loaded_for_it() -> None:
    code = "import sys, edge_runtime.server.images.source; print({'numpy', 'PIL'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
