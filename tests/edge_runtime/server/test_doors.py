"""Sockets to listen at: whose they are, and what is in the way."""

from __future__ import annotations

import resource
import socket
from pathlib import Path

import pytest

from edge_runtime.errors import EdgeVLError
from edge_runtime.server.doors import door_at_path, doors_at
from edge_runtime.server.open_files import OTHERS, room_for


def test_a_free_port_is_one_for_all_addresses() -> None:
    with doors_at(("127.0.0.1", "127.0.0.2"), 0) as doors:
        ports = {door.getsockname()[1] for door in doors}
        assert (len(doors), len(ports)) == (2, 1)
        for door in doors:
            socket.create_connection(door.getsockname(), timeout=5).close()


def test_a_port_that_is_taken_is_told_with_a_remedy() -> None:
    with doors_at(("127.0.0.1",), 0) as (door,):
        port = door.getsockname()[1]
        with (
            pytest.raises(EdgeVLError, match="another process listens there") as caught,
            doors_at(("127.0.0.1",), port),
        ):
            pass
    assert caught.value.code == "EVL-SERVE-PORT"
    with doors_at(("127.0.0.1",), port):
        pass


def test_an_address_that_is_not_this_machines_is_told() -> None:
    with (
        pytest.raises(EdgeVLError, match=r"192\.0\.2\.1 port 0 cannot be listened at"),
        doors_at(("192.0.2.1",), 0),
    ):
        pass


def test_a_second_address_that_the_machine_lacks_is_done_without() -> None:
    with doors_at(("127.0.0.1", "2001:db8::1"), 0) as doors:
        assert len(doors) == 1


def test_a_path_is_for_owner_and_group_and_gone_afterwards(tmp_path: Path) -> None:
    place = tmp_path / "s"
    with door_at_path(place):
        assert place.stat().st_mode & 0o777 == 0o660
    assert not place.exists()


def test_what_a_dead_server_left_is_replaced(tmp_path: Path) -> None:
    place = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(place))
    assert place.exists()
    with door_at_path(place), socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(place))


def test_a_living_servers_socket_is_left_alone(tmp_path: Path) -> None:
    place = tmp_path / "s"
    with door_at_path(place):
        with pytest.raises(EdgeVLError, match="another process listens there"), door_at_path(place):
            pass
        assert place.exists()


def test_a_file_in_the_way_is_never_removed(tmp_path: Path) -> None:
    place = tmp_path / "s"
    place.write_text("mine")
    with pytest.raises(EdgeVLError, match="is no socket"), door_at_path(place):
        pass
    assert place.read_text() == "mine"


@pytest.mark.parametrize("name", ["x" * 200, "missing/s"])
def test_a_path_that_cannot_be_is_told(name: str, tmp_path: Path) -> None:
    with pytest.raises(EdgeVLError, match="EVL-SERVE-PORT"), door_at_path(tmp_path / name):
        pass


def test_a_socket_that_took_our_place_is_not_removed(tmp_path: Path) -> None:
    place = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as other:
        with door_at_path(place):
            place.unlink()
            other.bind(str(place))
        assert place.exists()


def test_room_is_made_for_connections_as_far_as_the_system_allows() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (512, before[1]))
        assert room_for(300) == 300
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 300 + OTHERS
        assert room_for(10) == 300
        assert room_for(1 << 40) == before[1] - OTHERS
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize(
    "fault", [PermissionError("not permitted"), ValueError("not allowed to raise maximum limit")]
)
def test_where_room_cannot_be_made_the_room_there_is_counts(
    fault: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise fault

    monkeypatch.setattr(resource, "getrlimit", lambda _: (300, 4096))
    monkeypatch.setattr(resource, "setrlimit", refused)
    assert room_for(1000) == 300 - OTHERS
