"""A pytorch_model.bin is named tensors, stored plainly, or it is refused: nothing in it ever runs."""

from __future__ import annotations

import collections
import functools
import io
import os
import pickle
import shutil
import subprocess
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch._utils
from hypothesis import HealthCheck, given, settings
from safetensors.torch import load_file

from tests.faults.bounds import bounded
from tests.faults.damage import Mishap, befall, mishaps, replace_file, twin_of
from tests.faults.headers import NAME, WEIGHTS
from tests.faults.reading import read_everything, refusal

BIN = "pytorch_model.bin"
REFUSED = "EVL-CHECKPOINT-PICKLE"
SECONDS, MIB = 5.0, 128
Tensors = dict[str, torch.Tensor]
Members = list[tuple[str, bytes]]


class Call:
    """Pickles as the call of a function, and as what is set on its result if anything is."""

    def __init__(self, function: Callable[..., object], *arguments: object, state: object = None) -> None:
        self.reduced = (function, arguments, state)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.reduced[:2] if self.reduced[2] is None else self.reduced


class Storage:
    """Pickles as torch's reference to a record, with a length of its own choice."""

    def __init__(self, elements: int) -> None:
        self.reference = ("storage", torch.FloatStorage, "0", "cpu", elements)


class Pickler(pickle.Pickler):
    def persistent_id(self, found: object) -> object:
        return found.reference if isinstance(found, Storage) else None


def saved(content: object) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def members_of(archive: bytes) -> Members:
    with zipfile.ZipFile(io.BytesIO(archive)) as found:
        return [(member.filename, found.read(member)) for member in found.infolist()]


def zipped(
    members: Iterable[tuple[str | zipfile.ZipInfo, bytes]], packing: int = zipfile.ZIP_STORED
) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", packing) as archive:
        warnings.simplefilter("ignore", UserWarning)  # of a name that comes twice, as is meant
        for name, data in members:
            archive.writestr(name, data)
    return file.getvalue()


def with_pickle(content: Tensors, change: Callable[[bytes], bytes]) -> bytes:
    return zipped(
        (name, change(data) if name.endswith("data.pkl") else data)
        for name, data in members_of(saved(content))
    )


def with_storage_of(elements: int) -> Callable[[Tensors], bytes]:
    """A pickle whose tensor claims a record of this many elements."""
    rebuilt = Call(
        torch._utils._rebuild_tensor_v2,
        Storage(elements),
        0,
        (elements,),
        (1,),
        False,
        collections.OrderedDict(),
    )
    file = io.BytesIO()
    Pickler(file, 2).dump({NAME: rebuilt})
    return lambda content: with_pickle(content, lambda _: file.getvalue())


@pytest.fixture
def tensors(checkpoint: Path) -> Tensors:
    return {name: value.clone() for name, value in load_file(checkpoint / WEIGHTS).items()}


@pytest.fixture
def folder(checkpoint: Path, tmp_path: Path) -> Path:
    """The checkpoint without its weights."""
    twin = twin_of(checkpoint, tmp_path / "twin")
    (twin / WEIGHTS).unlink()
    return twin


def told(folder: Path, content: bytes) -> str:
    replace_file(folder / BIN, content)
    with bounded(SECONDS, MIB):
        error = refusal(folder)
    return "taken" if error is None else error.code


def all_of(tensors: Tensors, change: Callable[[torch.Tensor], torch.Tensor]) -> Tensors:
    return {name: change(tensor) for name, tensor in tensors.items()}


TAKEN: dict[str, Callable[[Tensors], object]] = {
    "a dict": dict,
    "an ordered dict": collections.OrderedDict,
    "parameters": lambda found: all_of(found, torch.nn.Parameter),
    "turned tensors": lambda found: all_of(found, lambda each: each.t().contiguous().t() if each.dim() == 2 else each),
    "half precision": lambda found: all_of(found, torch.Tensor.half),
    "brain floats": lambda found: all_of(found, torch.Tensor.bfloat16),
}  # fmt: skip


@pytest.mark.parametrize("case", TAKEN)
def test_what_torch_saves_of_a_model_is_taken(case: str, folder: Path, tensors: Tensors) -> None:
    assert told(folder, saved(TAKEN[case](tensors))) == "taken"


def test_a_module_that_carries_its_versions_is_taken(folder: Path, tensors: Tensors) -> None:
    content = collections.OrderedDict(tensors)
    content._metadata = collections.OrderedDict(version=1)  # type: ignore[attr-defined]  # as state_dict() has
    assert told(folder, saved(content)) == "taken"


# --- code

CODE: dict[str, Callable[[str], object]] = {
    "os.system": lambda canary: Call(os.system, f"touch {canary}"),
    "subprocess": lambda canary: Call(subprocess.call, ["touch", canary]),
    "eval": lambda canary: Call(eval, f"open({canary!r}, 'w')"),
    "exec": lambda canary: Call(exec, f"open({canary!r}, 'w')"),
    "open": lambda canary: Call(open, canary, "w"),
    "getattr": lambda canary: Call(getattr, "", "join"),
    "a partial": lambda canary: functools.partial(os.mkdir, canary),
    "a shutil function": lambda canary: Call(shutil.copy, "/dev/null", canary),
    "torch.load": lambda canary: Call(torch.load, canary),
    "torch.save": lambda canary: Call(torch.save, {}, canary),
    "torch.jit.load": lambda canary: Call(torch.jit.load, canary),
    "torch's importer": lambda canary: Call(torch._utils._import_dotted_name, "os.system"),
    "a state on an ordered dict": lambda canary: Call(collections.OrderedDict, state={"items": Call(open, canary, "w")}),
}  # fmt: skip


@pytest.mark.parametrize(
    "where", ["in the zip file", "alone", "alone and old", "in a tar file", "as a second pickle"]
)
@pytest.mark.parametrize("case", CODE)
def test_code_is_never_executed(
    case: str, where: str, folder: Path, tensors: Tensors, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    code = CODE[case](str(canary))
    content = {
        "in the zip file": lambda: saved(tensors | {NAME: code}),
        "alone": lambda: pickle.dumps(code),
        "alone and old": lambda: pickle.dumps(code, 0),
        "in a tar file": lambda: tarred(pickle.dumps(code, 2)),
        "as a second pickle": lambda: zipped([*members_of(saved(tensors)), ("other/data.pkl", pickle.dumps(code, 2))]),
    }[where]()  # fmt: skip
    assert told(folder, content) == REFUSED
    assert not canary.exists()


def test_the_canary_would_sing(tmp_path: Path) -> None:
    path = tmp_path / BIN
    path.write_bytes(saved({NAME: CODE["os.system"](str(tmp_path / "canary"))}))
    torch.load(path, weights_only=False)
    assert (tmp_path / "canary").exists()


def tarred(code: bytes) -> bytes:
    """As torch wrote before 0.1.10."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, data in {"sys_info": code, "pickle": code, "tensors": b"", "storages": b""}.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return file.getvalue()


# --- tensors that are none, and buffers beyond all measure

STRANGERS: dict[str, Callable[[], object]] = {
    "a buffer of 4 GB": lambda: Call(bytearray, 4_000_000_000),
    "a tensor of 40 GB": lambda: Call(torch.FloatTensor, 100_000, 100_000),
    "an element repeated": lambda: torch.ones(1).expand(64),
    "an element repeated without end": lambda: torch.ones(1).expand(2**31, 2**31),
    "no data": lambda: torch.empty(64, device="meta"),
    "sparse": lambda: torch.ones(64).to_sparse(),
    "a pending sign": lambda: torch._neg_view(torch.ones(64)),
    "complex": lambda: torch.ones(64, dtype=torch.complex64),
    "a counter": collections.Counter,
    "a number": lambda: 1,
    "a dict": dict,
    "a class": lambda: torch.FloatStorage,
}


@pytest.mark.parametrize("case", STRANGERS)
def test_what_is_no_plain_tensor_is_refused(case: str, folder: Path, tensors: Tensors) -> None:
    assert told(folder, saved(tensors | {NAME: STRANGERS[case]()})) == REFUSED


def test_names_are_texts(folder: Path, tensors: Tensors) -> None:
    assert told(folder, saved({1: tensors[NAME]})) == REFUSED


def test_a_dict_that_hides_its_tensors_is_read_all_the_same(folder: Path, tensors: Tensors) -> None:
    hiding = {"items": collections.OrderedDict}  # what a pickle may set on an ordered dict
    content = Call(collections.OrderedDict, list(tensors.items()), state=hiding)
    assert told(folder, saved(content)) == "taken"


# --- the zip file


def old(content: Tensors) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


def new(content: Tensors) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, pickle_protocol=4)
    return file.getvalue()


FORGERIES: dict[str, Callable[[Tensors], bytes]] = {
    "compressed": lambda found: zipped(members_of(saved(found)), zipfile.ZIP_DEFLATED),
    "a bomb beside it": lambda found: zipped(
        [*members_of(saved(found)), ("archive/more", bytes(100 << 20))], zipfile.ZIP_DEFLATED
    ),
    "a bomb for a pickle": lambda found: zipped(
        [(name, data + bytes(200 << 20) if name.endswith(".pkl") else data) for name, data in members_of(saved(found))],
        zipfile.ZIP_DEFLATED,
    ),
    "a pickle of 9 MiB": lambda found: with_pickle(found, lambda data: data + bytes(9 << 20)),
    "a record twice": lambda found: zipped(
        [*members_of(saved(found)), *(each for each in members_of(saved(found)) if each[0].endswith("data/0"))]
    ),
    "no pickle": lambda found: zipped(each for each in members_of(saved(found)) if not each[0].endswith(".pkl")),
    "two pickles": lambda found: zipped([*members_of(saved(found)), ("archive/b/data.pkl", b"\x80\x02}.")]),
    "a record longer than the file": with_storage_of(10**12),
    "a record that runs into the next": with_storage_of(50_000),
    "a record of less than nothing": with_storage_of(-5),
    "another version": lambda found: zipped(
        (name, b"99\n" if name.endswith("version") else data) for name, data in members_of(saved(found))
    ),
    "nothing": lambda _: b"",
    "an empty zip file": lambda _: b"PK\5\6" + bytes(18),
    "the old format": old,
    "a newer pickle": new,
}  # fmt: skip


@pytest.mark.parametrize("case", FORGERIES)
def test_a_forged_archive_is_refused(case: str, folder: Path, tensors: Tensors) -> None:
    assert told(folder, FORGERIES[case](tensors)) == REFUSED


def test_members_with_paths_and_links_are_never_unpacked(
    folder: Path, tensors: Tensors, tmp_path: Path
) -> None:
    link = zipfile.ZipInfo("archive/link")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    strangers = [(str(tmp_path / "absolute"), b"x"), ("../../upwards", b"x"), ("archive/../sideways", b"x")]
    told(folder, zipped([*members_of(saved(tensors)), *strangers, (link, b"/etc/passwd")]))
    found = {path.name for path in tmp_path.rglob("*")} | {path.name for path in tmp_path.parent.iterdir()}
    assert found.isdisjoint({"absolute", "upwards", "sideways", "link"})


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(mishap=mishaps)
def test_any_one_mishap_to_a_pickled_checkpoint_is_survived(
    folder: Path, tensors: Tensors, mishap: Mishap
) -> None:
    replace_file(folder / BIN, saved(tensors))
    befall(folder / BIN, mishap)
    with bounded(SECONDS, MIB):
        error = refusal(folder)
    assert error is None or error.code.startswith("EVL-CHECKPOINT-")


def test_every_number_of_a_pickled_checkpoint_is_that_of_its_twin(
    checkpoint: Path, folder: Path, tensors: Tensors
) -> None:
    replace_file(folder / BIN, saved(tensors))
    assert read_everything(folder) == read_everything(checkpoint)
