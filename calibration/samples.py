"""What a model is calibrated with: pictures, and what is asked about them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from calibration.listing import Entry, entries_from_file
from edge_runtime.errors import EdgeVLError, listed
from edge_runtime.picture import bytes_from_file, picture_from_file
from edge_runtime.picture_folder import contents_of
from edge_runtime.picture_limits import PictureLimits

CODE = "EVL-CALIBRATE-SAMPLES"
QUESTION = "Describe this picture in detail."
MOST_BROKEN = 0.1  # of the pictures that were opened
KEYS = {"image", "prompt"}
EXAMPLE = '{"image": "photo.jpg", "prompt": "What is this?"}'


@dataclass(frozen=True)
class Sample:
    """One picture and one question. `sha256` is of both contents, not of where they lie."""

    name: str
    path: Path
    prompt: str
    sha256: str
    where: str  # what an error calls it: a line of a list, or the picture's name

    def picture(self) -> Image.Image:
        return picture_from_file(self.path, PictureLimits())


@dataclass(frozen=True)
class SampleSet:
    """In the order of their hashes, so that names, folders and file systems change nothing; no content is there twice."""

    samples: tuple[Sample, ...]
    broken: tuple[str, ...] = ()  # names of pictures that could not be opened, and why
    ignored: tuple[str, ...] = ()  # names of files that are no pictures

    @property
    def sha256(self) -> str:
        return hashlib.sha256("".join(each.sha256 for each in self.samples).encode()).hexdigest()


class Candidate(NamedTuple):
    """A sample before its picture was read."""

    name: str
    path: Path
    prompt: str
    where: str


def samples_from_folder(folder: Path, limit: int) -> SampleSet:
    """At most `limit` of the pictures in `folder`, each asked the same question."""
    if not folder.is_dir():
        raise EdgeVLError(CODE, f"cannot read {folder}", "it is not a folder", "give a folder of pictures")
    contents = contents_of(folder)
    if not contents.pictures:
        fix = "give the folder that the pictures themselves lie in"
        raise EdgeVLError(CODE, f"{folder} has no pictures", contents.why_empty(), fix)
    found = [Candidate(path.name, path, QUESTION, path.name) for path in contents.pictures]
    return replace(chosen(found, limit, str(folder)), ignored=contents.others)


def samples_from_file(path: Path, limit: int) -> SampleSet:
    """At most `limit` lines `{"image": path, "prompt": text}`; paths are relative to the file."""
    entries = entries_from_file(path, CODE, EXAMPLE)
    if not entries:
        raise EdgeVLError(
            CODE, f"{path} has no samples", "there is nothing in it", f"write one {EXAMPLE} a line"
        )
    return chosen([candidate_from_entry(each, path.parent) for each in entries], limit, str(path))


def candidate_from_entry(entry: Entry, folder: Path) -> Candidate:
    value, what, fix = entry.value, f"{entry.where} is no sample", f"write one {EXAMPLE} a line"
    if not isinstance(value, dict):
        raise EdgeVLError(CODE, what, "it is no object", fix)
    if value.keys() != KEYS:
        raise EdgeVLError(CODE, what, "its keys are not image and prompt", fix)
    image, prompt = value["image"], value["prompt"]
    if not isinstance(image, str) or not isinstance(prompt, str):
        raise EdgeVLError(CODE, what, "image and prompt are not both texts", fix)
    if not image or "\0" in image:
        raise EdgeVLError(CODE, what, "image is no name of a file", fix)
    return Candidate(image, folder / image, prompt, entry.where)


def chosen(candidates: Iterable[Candidate], limit: int, where: str) -> SampleSet:
    """The first `limit` by hash that can be opened; what is there twice counts once."""
    if limit < 1:
        raise EdgeVLError(CODE, "no samples are wanted", f"the limit is {limit}", "give --limit 1 or more")
    found, broken, count = dict[str, Sample](), list[str](), 0
    for candidate in candidates:
        count += 1
        if (sample := sample_from_candidate(candidate, broken)) is not None:
            found.setdefault(sample.sha256, sample)
    check_share(count, broken, where)
    return opened(found.values(), limit, broken, where)


def sample_from_candidate(candidate: Candidate, broken: list[str]) -> Sample | None:
    """None where the picture's file cannot be read, which is noted in `broken`."""
    name, path, prompt, where = candidate
    try:
        digest = hashlib.sha256(bytes_from_file(path, PictureLimits()))
    except EdgeVLError as error:
        broken.append(f"{name}: {error.why}")  # its words name the whole path, and the report travels
        return None
    digest.update(b"\0" + prompt.encode("utf-8", "surrogatepass"))
    return Sample(name, path, prompt, digest.hexdigest(), where)


def opened(samples: Iterable[Sample], limit: int, broken: Sequence[str], where: str) -> SampleSet:
    """The first `limit` by hash whose pictures can be opened; of those that are looked at not too many may be left out, as those in
    `broken` were."""
    good, bad = list[Sample](), list[str]()
    for sample in sorted(samples, key=lambda each: each.sha256):
        if len(good) == limit:
            break
        try:
            sample.picture()
        except EdgeVLError as error:
            bad.append(f"{error.what} ({error.why})")
        else:
            good.append(sample)
    check_share(len(good) + len(bad), bad, where)
    return SampleSet(tuple(good), (*broken, *bad))


def check_share(count: int, broken: Sequence[str], where: str) -> None:
    """Of `count` that were tried."""
    if len(broken) > MOST_BROKEN * count:
        what = f"{len(broken)} of the {count} pictures of {where} cannot be opened"
        why = f"at most {MOST_BROKEN:.0%} may be broken: {listed(broken)}"
        raise EdgeVLError(CODE, what, why, "repair or remove them")
