"""The systemd unit: each line that guards something is there, and it fits the server that it starts."""

from __future__ import annotations

import pytest

from edge_runtime.server.bulletin import STATUS_S
from edge_runtime.server.drain import DrainTimes
from edge_runtime.server.life import ENDING_S
from edge_runtime.server.open_files import OTHERS
from edge_runtime.server.origins import Sources, chosen_from_sources, settings_from_chosen
from edge_runtime.server.settings import Settings
from tests.jetson.unit_file import CONFIG, DROP_INS, UNITS, unit_with

GUARDS = {
    "Type": "notify",
    "NotifyAccess": "main",
    "ExecReload": "/bin/kill -HUP $MAINPID",
    "Restart": "on-failure",
    "KillMode": "mixed",
    "DynamicUser": "yes",
    "StateDirectory": "edge-vl",
    "StateDirectoryMode": "0700",
    "RuntimeDirectory": "edge-vl",
    "RuntimeDirectoryMode": "0700",
    "UMask": "0077",
    "OOMPolicy": "continue",
    "LimitCORE": "0",
    "IPAddressDeny": "any",
    "IPAddressAllow": "localhost",
    "RestrictAddressFamilies": "AF_UNIX AF_INET AF_INET6",
    "DevicePolicy": "closed",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "ProtectProc": "invisible",
    "ProtectKernelTunables": "yes",
    "ProtectKernelModules": "yes",
    "ProtectKernelLogs": "yes",
    "ProtectControlGroups": "yes",
    "ProtectClock": "yes",
    "ProtectHostname": "yes",
    "RemoveIPC": "yes",
    "NoNewPrivileges": "yes",
    "RestrictNamespaces": "yes",
    "RestrictRealtime": "yes",
    "RestrictSUIDSGID": "yes",
    "LockPersonality": "yes",
    "SystemCallArchitectures": "native",
    "SystemCallErrorNumber": "EPERM",
}
DEVICES = {
    "char-*.gpu", "char-nvidia*", "char-nvhost*", "/dev/nvmap", "/dev/host1x-fence", "char-drm", "char-video4linux",
}  # fmt: skip
# CUDA maps memory that is both written and run, and needs its devices; meminfo and pressure are outside of processes.
IMPOSSIBLE = {"PrivateDevices", "MemoryDenyWriteExecute", "ProcSubset", "PrivateNetwork", "RootDirectory"}
NEWER_THAN_249 = {
    "ConditionCredential", "ConditionMemoryPressure", "CoredumpReceive", "DelegateSubgroup", "ExecSearchPath",
    "ExtensionDirectories", "FileDescriptorStorePreserve", "ImportCredential", "LoadCredentialEncrypted",
    "MemoryPressureWatch", "MemoryZSwapMax", "OpenFile", "PrivatePIDs", "ReloadSignal", "RestartMaxDelaySec",
    "RestartMode", "RestartSteps", "RestrictFileSystems", "RestrictNetworkInterfaces", "SetCredentialEncrypted",
    "StartupAllowedCPUs", "StartupMemoryMax",
}  # fmt: skip
NEWER_SPECIFIERS = ("%d", "%D", "%y", "%Y")


@pytest.fixture
def settings() -> Settings:
    """As the unit and its example of a file have them."""
    return settings_from_chosen(chosen_from_sources(Sources({}, {}, CONFIG)))


@pytest.mark.parametrize("name", GUARDS)
def test_a_guard_stands_once_and_as_it_should(name: str) -> None:
    assert unit_with().values(name) == (GUARDS[name],)


@pytest.mark.parametrize("name", ["CapabilityBoundingSet", "AmbientCapabilities"])
def test_there_is_no_capability_at_all(name: str) -> None:
    assert unit_with().values(name) == ()


def test_calls_of_services_are_let_through_but_for_privileged_ones() -> None:
    assert unit_with().values("SystemCallFilter") == ("@system-service", "~@privileged @resources")


def test_only_devices_that_the_gpu_and_cameras_need_are_there_and_none_can_be_made() -> None:
    allowed = dict(each.rsplit(" ", 1) for each in unit_with().values("DeviceAllow"))
    assert allowed == dict.fromkeys(DEVICES, "rw")


def test_what_cuda_and_the_memory_gauges_cannot_live_with_is_not_asked_for() -> None:
    assert not unit_with().names & IMPOSSIBLE


@pytest.mark.parametrize("drop_in", ["", *DROP_INS])
def test_nothing_is_said_that_systemd_249_does_not_know(drop_in: str) -> None:
    unit = unit_with(*filter(None, [drop_in]))
    assert not unit.names & NEWER_THAN_249
    every = [value for section in unit.sections.values() for values in section.values() for value in values]
    assert not [value for value in every if any(newer in value for newer in NEWER_SPECIFIERS)]
    assert unit.value("Type") != "notify-reload"


def test_a_system_that_starts_starts_it_too() -> None:
    assert unit_with().sections["Install"]["WantedBy"] == ("multi-user.target",)


def test_the_keys_come_from_a_file_that_the_service_itself_cannot_read() -> None:
    unit = unit_with()
    name, _, source = unit.value("LoadCredential").partition(":")
    assert source == "/etc/edge-vl/keys"
    assert unit.flags["api_key_file"] == f"${{CREDENTIALS_DIRECTORY}}/{name}"


def test_health_has_a_socket_in_the_folder_that_is_the_services_own() -> None:
    unit = unit_with()
    assert unit.flags["health_socket"] == f"%t/{unit.value('RuntimeDirectory')}/health.sock"


@pytest.mark.parametrize("drop_in", ["", *DROP_INS])
def test_it_is_started_with_the_file_of_settings_and_no_setting_twice(drop_in: str) -> None:
    unit = unit_with(*filter(None, [drop_in]))
    assert unit.flags["config"] is not None and unit.flags["config"].name == CONFIG.name  # type: ignore[attr-defined]
    assert unit.flags["bundle"] is None


def test_it_may_end_in_its_own_time(settings: Settings) -> None:
    ending_s = settings.drain_notice_s + settings.drain_timeout_s + DrainTimes().farewell_s + ENDING_S
    assert unit_with().seconds("TimeoutStopSec") > ending_s


def test_a_few_late_words_are_not_taken_for_death() -> None:
    assert unit_with().seconds("WatchdogSec") >= 10 * STATUS_S


def test_a_worker_that_says_nothing_is_replaced_before_the_whole_server_is(settings: Settings) -> None:
    assert unit_with().seconds("WatchdogSec") > settings.silence_timeout_s


def test_there_are_files_enough_for_all_connections(settings: Settings) -> None:
    assert int(unit_with().value("LimitNOFILE")) >= settings.connections + OTHERS


def test_a_server_that_never_starts_is_left_after_a_while() -> None:
    unit = unit_with()
    (window,) = unit.sections["Unit"]["StartLimitIntervalSec"]
    (most,) = unit.sections["Unit"]["StartLimitBurst"]
    assert window == "15min" and unit.seconds("RestartSec") * int(most) < 15 * 60


def test_a_kiosk_is_asked_without_a_key_and_only_on_its_own_machine() -> None:
    unit = unit_with("kiosk.conf")
    assert unit.values("LoadCredential") == ()
    assert (unit.flags["kiosk"], unit.flags["host"], unit.flags["api_key_file"]) == (True, "127.0.0.1", None)
    assert unit.values("IPAddressAllow") == ("localhost",)


def test_a_kiosk_gives_up_no_other_guard() -> None:
    alone, kiosk = unit_with(), unit_with("kiosk.conf")
    differ = {
        name
        for name in alone.sections["Service"]
        if alone.values(name) != kiosk.sections["Service"].get(name)
    }
    assert differ == {"ExecStart", "LoadCredential"}
    assert kiosk.names == alone.names


def test_beyond_this_machine_only_addresses_are_added() -> None:
    alone, beyond = unit_with(), unit_with("beyond.conf")
    assert beyond.values("IPAddressAllow") == ("localhost", "192.168.1.0/24")
    assert {**beyond.sections["Service"], "IPAddressAllow": ()} == {
        **alone.sections["Service"], "IPAddressAllow": ()
    }  # fmt: skip


def test_no_file_is_forgotten() -> None:
    assert {path.name for path in UNITS.iterdir()} == {"edge-vl.service", "serve.toml", *DROP_INS}
