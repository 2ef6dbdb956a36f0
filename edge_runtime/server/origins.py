"""Where each setting comes from: a flag, else a variable, else the file, else nobody said anything."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from edge_runtime.errors import EdgeVLError, one_line
from edge_runtime.server.config_file import Written, values_of_file
from edge_runtime.server.setting import Value, kind_of
from edge_runtime.server.settings import Settings, SettingsConflict, is_right, known_settings

PREFIX = "EDGE_VL_SERVE_"
CONFIG_VARIABLE = PREFIX + "CONFIG"
Source = Literal["flag", "env", "file", "default"]
SHOWN = 80  # characters of a wrong value


@dataclass(frozen=True)
class Chosen:
    """A setting's value. `place` says in words where it was found, `over` what else was said, in vain."""

    value: Value
    source: Source
    place: str
    over: tuple[Chosen, ...] = ()

    def words(self) -> str:
        rest = [f"{each.place}: {shown(each.value)}" for each in self.over]
        return f"{self.place} (over {', '.join(rest)})" if rest else self.place

    def to_json(self) -> Mapping[str, object]:
        plain = shown(self.value) if isinstance(self.value, Path) else self.value
        own = {"value": plain, "origin": self.source, "place": self.place}
        return {**own, "over": [each.to_json() for each in self.over]} if self.over else own


@dataclass(frozen=True)
class Sources:
    """`flags` has those that were given: texts, or True and False of a switch."""

    flags: Mapping[str, str | bool]
    environ: Mapping[str, str]
    file: Path | None = None


def chosen_from_sources(sources: Sources) -> Mapping[str, Chosen]:
    """Of every setting; what nobody chose and has no default is left out. Each value is right, even one in vain."""
    known = known_settings()
    found = [
        flags_found(sources.flags, known),
        variables_found(sources.environ, known),
        values_found(config_path(sources), known),
        defaults(known),
    ]
    chosen = {name: [each[name] for each in found if name in each] for name in known}
    return {name: replace(first[0], over=said_in_vain(first)) for name, first in chosen.items() if first}


def said_in_vain(every: Sequence[Chosen]) -> tuple[Chosen, ...]:
    return tuple(each for each in every[1:] if each.source != "default")


def settings_from_chosen(chosen: Mapping[str, Chosen]) -> Settings:
    """EVL-SETTING-CONFLICT names where both values come from."""
    if "bundle" not in chosen:
        why, fix = "there is no model to answer with", "say `edge-vl serve BUNDLE`"
        raise EdgeVLError("EVL-SETTING-MISSING", "no bundle was named", why, fix)
    try:
        values: dict[str, Any] = {name: each.value for name, each in chosen.items()}
        return Settings(**values)
    except SettingsConflict as conflict:
        places = [f"{name} is {shown(chosen[name].value)} ({chosen[name].place})" for name in conflict.names]
        why = f"{conflict.why}: {', '.join(places)}"
        raise EdgeVLError(conflict.code, conflict.what, why, conflict.fix) from conflict


def check_conflicts(chosen: Mapping[str, Chosen]) -> None:
    """As above, where nobody needs to have named a bundle yet."""
    settings_from_chosen({"bundle": Chosen(Path("BUNDLE"), "default", "default"), **chosen})


def flags_found(flags: Mapping[str, str | bool], known: Mapping[str, Field[Any]]) -> Mapping[str, Chosen]:
    return {name: read(known[name], value, "flag", place_of_flag(name)) for name, value in flags.items()}


def variables_found(environ: Mapping[str, str], known: Mapping[str, Field[Any]]) -> Mapping[str, Chosen]:
    of_variable = {variable_of(name): name for name in known}
    given = {
        name: text for name, text in environ.items() if name.startswith(PREFIX) and name != CONFIG_VARIABLE
    }
    refuse_strangers(dict.fromkeys(given, "the environment"), of_variable)
    return {
        of_variable[variable]: read(known[of_variable[variable]], text, "env", f"env {variable}")
        for variable, text in given.items()
    }


def values_found(file: Path | None, known: Mapping[str, Field[Any]]) -> Mapping[str, Chosen]:
    """Relative paths in the file are of the file's own folder."""
    if file is None:
        return {}
    written = values_of_file(file)
    refuse_strangers({name: each.place for name, each in written.items()}, known)
    found = {name: read(known[name], each, "file", f"file {each.place}") for name, each in written.items()}
    return {
        name: replace(each, value=file.parent / each.value) if isinstance(each.value, Path) else each
        for name, each in found.items()
    }


def defaults(known: Mapping[str, Field[Any]]) -> Mapping[str, Chosen]:
    return {
        name: Chosen(each.default, "default", "default")
        for name, each in known.items()
        if each.default is not MISSING
    }


def config_path(sources: Sources) -> Path | None:
    if sources.file is not None or CONFIG_VARIABLE not in sources.environ:
        return sources.file
    return Path(sources.environ[CONFIG_VARIABLE])


def read(known: Field[Any], given: str | bool | Written, source: Source, place: str) -> Chosen:
    """EVL-SETTING-VALUE where it is not what the setting takes."""
    kind = kind_of(known)
    raw = given.value if isinstance(given, Written) else given
    try:
        value = kind.of_text(given) if isinstance(given, str) else kind.of_toml(raw)
    except (ValueError, OverflowError) as error:
        raise wrong(known, raw, place) from error
    if value is None or not is_right(known, value):
        raise wrong(known, raw, place)
    return Chosen(value, source, place)


def wrong(known: Field[Any], raw: object, place: str) -> EdgeVLError:
    # Lists and tables may hold anything, keys too, and say nothing that their kind does not.
    said = (
        one_line(repr(raw), SHOWN) if isinstance(raw, (bool, int, float, str)) else f"a {type(raw).__name__}"
    )
    why = f"{said} is not {kind_of(known).wanted}"
    return EdgeVLError("EVL-SETTING-VALUE", f"{known.name} cannot be used", why, f"change it: {place}")


def refuse_strangers(places: Mapping[str, str], known: Iterable[str]) -> None:
    """What a stranger was set to is not told: it may be a secret in the wrong place."""
    names = list(known)
    for name, place in places.items():
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            fix = f"did you mean {near[0]}?" if near else "`edge-vl serve --print-config` shows what there is"
            what = f"{one_line(name, SHOWN)} is no setting"
            raise EdgeVLError("EVL-SETTING-UNKNOWN", what, f"it stands in {place}", fix)


def place_of_flag(name: str) -> str:
    return "argument BUNDLE" if name == "bundle" else f"flag --{name.replace('_', '-')}"


def variable_of(name: str) -> str:
    return PREFIX + name.upper()


def shown(value: Value) -> str:
    """As it would stand in a file, but for quotes."""
    if value is None or value == ():
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(value) if isinstance(value, tuple) else str(value)
