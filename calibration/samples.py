"""What a model is calibrated with: pictures, and what is asked about them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from edge_runtime.errors import EdgeVLError, listed
from edge_runtime.picture import PictureLimits, bytes_from_file, picture_from_file
from edge_runtime.record import json_from_bytes

CODE = "EVL-CALIBRATE-SAMPLES"
QUESTION = "Describe this picture in detail."
MOST_BROKEN = 0.1  # of the pictures that were opened
KEYS = {"image", "prompt"}


@dataclass(frozen=True)
class Sample:
    """One picture and one question. `sha256` is of both contents, not of where they lie."""

    name: str
    path: Path
    prompt: str
    sha256: str

    def picture(self) -> Image.Image:
        return picture_from_file(self.path, PictureLimits())


@dataclass(frozen=True)
class SampleSet:
    """In the order of their hashes, so that names, folders and file systems change nothing; no content is there twice."""

    samples: tuple[Sample, ...]
    broken: tuple[str, ...] = ()  # names of pictures that could not be opened, and why

    @property
    def sha256(self) -> str:
        return hashlib.sha256("".join(each.sha256 for each in self.samples).encode()).hexdigest()


def samples_from_folder(folder: Path, limit: int) -> SampleSet:
    """At most `limit` of the pictures in `folder`, each asked the same question."""
    if not folder.is_dir():
        raise EdgeVLError(CODE, f"cannot read {folder}", "it is not a folder", "give a folder of pictures")
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    return chosen([(path.name, path, QUESTION) for path in files], limit, str(folder))


def samples_from_file(path: Path, limit: int) -> SampleSet:
    """At most `limit` lines `{"image": path, "prompt": text}`; paths are relative to the file."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as fault:
        why = fault.strerror or str(fault)
        raise EdgeVLError(CODE, f"cannot read {path}", why, "give a file with one sample a line") from fault
    found = [
        sample_from_line(line, f"{path.name}, line {number}", path.parent)
        for number, line in enumerate(lines, start=1)
        if line.strip()
    ]
    return chosen(found, limit, str(path))


Candidate = tuple[str, Path, str]  # name, picture, prompt


def sample_from_line(line: bytes, where: str, folder: Path) -> Candidate:
    value = json_from_bytes(line, where, CODE)
    fix = 'write one {"image": "photo.jpg", "prompt": "What is this?"} a line'
    if not isinstance(value, dict) or value.keys() != KEYS:
        raise EdgeVLError(CODE, f"{where} is no sample", "its keys are not image and prompt", fix)
    image, prompt = value["image"], value["prompt"]
    if not isinstance(image, str) or not isinstance(prompt, str) or not image or "\0" in image:
        raise EdgeVLError(CODE, f"{where} is no sample", "image and prompt are not both texts", fix)
    return image, folder / image, prompt


def chosen(candidates: Sequence[Candidate], limit: int, where: str) -> SampleSet:
    """The first `limit` by hash that can be opened."""
    if limit < 1:
        raise EdgeVLError(CODE, "no samples are wanted", f"the limit is {limit}", "give --limit 1 or more")
    samples, broken = list[Sample](), list[str]()
    for sample in distinct(candidates, broken):
        if len(samples) == limit:
            break
        try:
            sample.picture()
        except EdgeVLError as error:
            broken.append(f"{error.what} ({error.why})")
        else:
            samples.append(sample)
    check_share(len(samples), broken, where)
    return SampleSet(tuple(samples), tuple(broken))


def distinct(candidates: Iterable[Candidate], broken: list[str]) -> list[Sample]:
    """By hash; files that cannot be read are noted in `broken`."""
    found: dict[str, Sample] = {}
    for name, path, prompt in candidates:
        try:
            digest = hashlib.sha256(bytes_from_file(path, PictureLimits()))
        except EdgeVLError as error:
            broken.append(f"{name}: {error.why}")  # its words name the whole path, and the report travels
            continue
        digest.update(b"\0" + prompt.encode("utf-8", "surrogatepass"))
        found.setdefault(digest.hexdigest(), Sample(name, path, prompt, digest.hexdigest()))
    return [found[key] for key in sorted(found)]


def check_share(opened: int, broken: Sequence[str], where: str) -> None:
    if not opened and not broken:
        raise EdgeVLError(CODE, f"{where} has no samples", "there is nothing in it", "put pictures into it")
    if len(broken) > MOST_BROKEN * (opened + len(broken)):
        what = f"{len(broken)} of the {opened + len(broken)} pictures of {where} cannot be opened"
        why = f"at most {MOST_BROKEN:.0%} may be broken: {listed(broken)}"
        raise EdgeVLError(CODE, what, why, "repair or remove them")
