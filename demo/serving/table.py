"""The README's table of what a running server was measured at: `python -m demo.serving.table`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

RECORDS = Path(__file__).parents[2] / "docs" / "serving"
MOST_CLIENTS = 8
Record = Mapping[str, Any]
HEAD = ("what was done to it", "found", "bar", "from")


def kills(record: Record) -> tuple[str, str, str]:
    told = sum(count for fate, count in record["requests"].items() if fate.startswith("told"))
    answered = record["requests"]["answered"]
    lost = sum(record["requests"].values()) - told - answered
    done = f"engine killed {record['kills']} times while clients ask"
    found = f"ready again in {record['ready_median_s']} s, at worst {record['ready_worst_s']} s; {answered} answered, {told} told, {lost} lost"
    return done, found, f"{record['bar_s']:g} s, 0 lost"


def overload(record: Record) -> tuple[str, str, str]:
    most = record["at_10"]
    clients, http = (median(each["cores"][name] for each in most) for name in ("clients", "front"))
    found = (
        f"{100 * record['goodput_at_10']:.0f} % of the answers (median of {len(most)} rounds), {sum(each['faults'] for each in most)} faults,"
        f" the others told in {record['refused_median_ms']} ms; of two cores the clients took {clients}, HTTP {http}"
    )
    return "ten times as many questions as can be answered", found, "90 %, 0 faults"


def vanished(record: Record) -> tuple[str, str, str]:
    done = f"{record['clients']} clients go away in the middle"
    return done, f"idle after {record['idle_worst_s']} s", f"{record['bar_s']:g} s"


def idle(record: Record) -> tuple[str, str, str]:
    found = f"health in {record['crowded_median_ms']} ms, at worst {record['crowded_worst_ms']} ms ({record['while_they_come_ms']:.0f} ms while they come)"
    return f"{record['connections']} idle connections", found, f"{record['bar_ms']:g} ms"


def bombs(record: Record) -> tuple[str, str, str]:
    return (
        "pictures made to fill the memory",
        f"+{record['growth_mib']:.0f} MiB",
        f"{record['bar_mib']:g} MiB",
    )


def soak(record: Record) -> tuple[str, str, str]:
    statuses = ", ".join(f"{count} × {status}" for status, count in record["statuses"].items())
    held = record["held_mib"]
    grown = f"{held['settled']:.1f} → {held['end']:.1f} MiB ({record['slope_mib_per_h']:g} MiB an hour)"
    found = f"{statuses}; {grown}; descriptors {record['descriptors']['settled_least']} → {record['descriptors']['end']}"
    return (
        f"{record['minutes']} minutes at 70 % load",
        found,
        f"growth below {record['growth_bar_mib']:g} MiB",
    )


def second(record: Record) -> tuple[str, str, str]:
    done = f"a second question about a picture ({record['bundle']})"
    return done, f"its first word {record['times_sooner']} times sooner", f"{record['bar']:g} times"


def beside(record: Record) -> tuple[str, str, str]:
    found = ", ".join(f"{times} times beside {name}" for name, times in record["times_alone"].items())
    alone = f"their first word after {record['alone_p95_ms']} ms (p95); {found}"
    return "short questions beside somebody's long ones", alone, f"{record['bar']:g} times"


def streams(record: Record) -> tuple[str, str, str]:
    parts = [
        f"{run['tokens_per_s']:.0f} tokens/s {run['asked']}, first word after {run['first_word_p95_ms']:.0f} ms (p95)"
        for run in record["runs"]
        if run["clients"] == MOST_CLIENTS
    ]
    return f"{MOST_CLIENTS} clients that ask again and again", "; ".join(parts), "no error"


def fuzzed(record: Record) -> tuple[str, str, str]:
    done = f"{record['tool']}, {record['examples_per_operation']} examples an operation"
    return (
        done,
        f"{record['cases']} cases, {'no findings' if record['is_met'] else 'findings'}",
        "no findings",
    )


def loaded(record: Record) -> tuple[str, str, str]:
    found = ", ".join(f"{run['completed']} answered, {run['failed']} failed" for run in record["runs"])
    return f"{record['tool']}, unmodified", found, "runs"


ROWS: Mapping[str, Callable[[Record], tuple[str, str, str]]] = {
    "kills": kills,
    "overload": overload,
    "vanished": vanished,
    "idle": idle,
    "bombs": bombs,
    "soak": soak,
    "second": second,
    "second-1.3b": second,
    "beside": beside,
    "streams": streams,
    "fuzzed": fuzzed,
    "loaded": loaded,
}


def table(folder: Path = RECORDS) -> str:
    """Of the records that are there; a bar that is missed is told as such."""
    lines = [HEAD, ("---",) * len(HEAD)]
    for name, row in ROWS.items():
        path = folder / f"{name}.json"
        if path.exists():
            record = json.loads(path.read_text(encoding="utf-8"))
            done, found, bar = row(record)
            lines.append(
                (
                    done,
                    found if record["is_met"] else f"{found} (**missed**)",
                    bar,
                    f"[{path.name}](docs/serving/{path.name})",
                )
            )
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


if __name__ == "__main__":
    print(table())
