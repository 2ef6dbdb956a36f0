"""Joules, off a machine's own meters: here files as the kernel lays them out."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edge_runtime.bench import measure
from edge_runtime.bench.energy import Metered, Rails, meter_here, rails_of
from edge_runtime.bench.options import BenchOptions
from edge_runtime.bench.runs import MeteredRun
from edge_runtime.bench.sample import sample_jpeg
from edge_runtime.bench.summary import energy_of
from edge_runtime.progress import silent
from tests.edge_runtime.bench_samples import FakeClock, slow_subject


def put(folder: Path, **values: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in values.items():
        (folder / name).write_text(f"{value}\n")
    return folder


def put_package(sys: Path, number: int, microjoules: int, limit: int = 1000_000) -> Path:
    zone = sys / "class" / "powercap" / f"intel-rapl:{number}"
    return put(zone, name=f"package-{number}", energy_uj=microjoules, max_energy_range_uj=limit)


def put_rails(sys: Path, number: int, labels: tuple[str, ...], chip: str = "ina3221") -> Path:
    folder = put(sys / "class" / "hwmon" / f"hwmon{number}", name=chip)
    for channel, label in enumerate(labels, start=1):
        values = {
            f"in{channel}_label": label,
            f"in{channel}_input": 5000,
            f"curr{channel}_input": 100 * channel,
        }
        put(folder, **values)
    return folder


def test_processors_count_for_themselves_and_begin_again_at_their_limit(tmp_path: Path) -> None:
    zones = [put_package(tmp_path, number, 900_000) for number in range(2)]
    put(tmp_path / "class" / "powercap" / "intel-rapl:0:0", name="core", energy_uj=5, max_energy_range_uj=9)
    with Metered(tmp_path) as metered:
        assert metered.meter is not None
        assert metered.meter.name == "the processors' packages (powercap)"
        before = metered.joules()
        assert before == 0.0
        put(zones[0], energy_uj=950_000)
        assert metered.joules() == pytest.approx(0.05)
        put(zones[1], energy_uj=100_000)  # past its limit of a joule
        assert metered.joules() == pytest.approx(0.25)


def test_the_rails_of_a_module_come_first(tmp_path: Path) -> None:
    put_package(tmp_path, 0, 1)
    put_rails(tmp_path, 1, ("VDD_IN",), chip="other")
    put_rails(tmp_path, 3, ("VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"))
    (rail,) = rails_of(tmp_path)
    assert rail.label == "VDD_IN"
    assert rail.watts() == pytest.approx(0.5)
    meter = meter_here(tmp_path)
    assert isinstance(meter, Rails)
    assert meter.name == "VDD_IN (INA3221)"


def test_a_module_without_one_rail_for_all_has_three(tmp_path: Path) -> None:
    put_rails(tmp_path, 1, ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"))
    put_rails(tmp_path, 2, ("NC", "VDDQ_VDD2_1V8AO", "NC"))
    assert [rail.label for rail in rails_of(tmp_path)] == ["VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"]
    assert sum(rail.watts() for rail in rails_of(tmp_path)) == pytest.approx(3.0)


def test_rails_that_are_not_known_are_not_added_up(tmp_path: Path) -> None:
    put_rails(tmp_path, 1, ("VDD_GPU", "VDD_CPU", "VDD_DDR"))
    assert meter_here(tmp_path) is None


def test_power_is_summed_up_over_time(tmp_path: Path) -> None:
    chip, now = put_rails(tmp_path, 1, ("VDD_IN",)), [10.0]
    rails = Rails(rails_of(tmp_path), lambda: now[0])
    now[0] = 14.0
    assert rails.joules() == pytest.approx(2.0)  # half a watt
    put(chip, curr1_input=300)
    now[0] = 16.0
    assert rails.joules() == pytest.approx(4.0)  # on its way from half a watt to one and a half


def test_between_two_looks_a_thread_goes_on_looking(tmp_path: Path) -> None:
    chip = put_rails(tmp_path, 1, ("VDD_IN",))
    with Metered(tmp_path) as metered:
        before = metered.joules()
        put(chip, curr1_input=10_000)  # fifty watts, for a while that no end of the span sees
        time.sleep(0.3)
        put(chip, curr1_input=100)
        time.sleep(0.1)
        after = metered.joules()
    assert before is not None
    assert after is not None
    assert after - before > 5.0


@pytest.mark.parametrize("what", ["nothing", "locked", "words"])
def test_a_meter_that_cannot_be_read_is_none(tmp_path: Path, what: str) -> None:
    if what == "locked":
        (put_package(tmp_path, 0, 1) / "energy_uj").unlink()
        (tmp_path / "class" / "powercap" / "intel-rapl:0" / "energy_uj").mkdir()
    elif what == "words":
        put(put_package(tmp_path, 0, 1), energy_uj="many")
    with Metered(tmp_path) as metered:
        assert metered.joules() is None


def test_a_meter_that_goes_away_ends_nothing_else(tmp_path: Path) -> None:
    zone = put_package(tmp_path, 0, 1)
    with Metered(tmp_path) as metered:
        assert metered.joules() == 0.0
        (zone / "energy_uj").unlink()
        assert metered.joules() is None


@dataclass
class Readings(Metered):
    """A meter that says what was written down for it, before and after every answer."""

    said: list[float | None] = field(default_factory=list)
    meter: None = None

    def joules(self) -> float | None:
        return self.said.pop(0)


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ([0.0, 5.0, None, None, None, None], None),  # the cold run's alone
        ([None, None, 10.0, 12.0, 20.0, 24.0], [2.0, 4.0]),
        ([None, 5.0, 10.0, 12.0, 20.0, None], [2.0]),
        ([0.0, 5.0, 10.0, 12.0, 20.0, 24.0], [2.0, 4.0]),
        ([None] * 6, None),
    ],
)
def test_energy_is_of_the_warm_runs_that_were_metered(
    said: list[float | None], wanted: list[float] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject, _ = slow_subject(tmp_path / "b", FakeClock())
    monkeypatch.setattr(measure, "Metered", lambda: Readings(list(said)))
    options = BenchOptions(tmp_path / "b", (sample_jpeg(),), "hi", 2, 2, ())
    answers, energy = measure.answers_of(subject, options, measure.Steps(silent, 3))
    assert len(answers) == 3
    found = None if energy is None else (energy.answer_j.low, energy.answer_j.high, energy.answer_j.runs)
    assert found == (None if wanted is None else (min(wanted), max(wanted), len(wanted)))


def test_an_answer_costs_joules_and_while_it_is_given_watts() -> None:
    energy = energy_of("a meter", [MeteredRun(10.0, 2.0), MeteredRun(30.0, 3.0), MeteredRun(12.0, 2.0)])
    assert (energy.meter, energy.answer_j.median, energy.watts.median) == ("a meter", 12.0, 6.0)
