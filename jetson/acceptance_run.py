"""The steps of an acceptance, run one after the other."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field

from edge_runtime.errors import one_line
from jetson.acceptance_report import Outcome, Status, command_line
from jetson.acceptance_steps import Step
from jetson.agreement import agreement_of
from jetson.errand import Ended, Tell, ended_command
from jetson.stop import Stop

NOT_INSTALLED = ("EVL-ENGINE-MISSING", "EVL-WORKBENCH-MISSING")
OTHER_DIALECT = "EVL-BUNDLE-DIALECT"
NO_GPU = ("EVL-ENGINE-DRIVER", "EVL-GPU-DRIVER")


@dataclass(frozen=True)
class Commands:
    """What is run: `edge-vl`, and what tells of the machine."""

    edge_vl: tuple[str, ...] = (sys.executable, "-m", "edge_vl")
    board: tuple[str, ...] = (sys.executable, "-m", "jetson.board")


@dataclass
class Acceptance:
    """`outcomes` holds those of the steps so far, in their order."""

    commands: Commands
    stop: Stop
    tell: Tell
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    def run(self, steps: Iterable[Step]) -> tuple[Outcome, ...]:
        """Each step that can be run, whatever became of those that it does not need."""
        every = list(steps)
        for number, step in enumerate(every, 1):
            self.tell(f"{step.name}: step {number} of {len(every)}")
            outcome = self._outcome(step)
            self.outcomes[step.name] = outcome
            took = "" if outcome.seconds is None else f" in {outcome.seconds:.1f} s"
            self.tell(
                f"{step.name}: {outcome.status}{took}" + (f": {outcome.reason}" if outcome.reason else "")
            )
        return tuple(self.outcomes.values())

    def _outcome(self, step: Step) -> Outcome:
        if self.stop.number is not None:
            return Outcome(step.name, "skipped", f"stopped by {self.stop.words} before it began")
        for name in step.needs:
            if (status := self.outcomes[name].status) != "passed":
                return Outcome(step.name, "skipped", f"it needs the step {name}, which was {status}")
        if step.name == "agreement":
            return agreement_of(*(self.outcomes[name] for name in step.needs))
        words = self._words(step)
        ended = ended_command(words, self.stop, lambda line: self.tell(f"{step.name}: {line}"))
        return self._judged(step, words, ended)

    def _words(self, step: Step) -> tuple[str, ...]:
        if not step.words:
            return self.commands.board
        engine = self.outcomes["build"].field("place", "engine") if step.uses_built else None
        return (*self.commands.edge_vl, *step.words, *(() if engine is None else ("--engine", str(engine))))

    def _judged(self, step: Step, words: tuple[str, ...], ended: Ended) -> Outcome:
        status, reason = self._verdict(step, ended)
        is_failed = status in ("failed", "interrupted")
        return Outcome(
            step.name,
            status,
            reason,
            command_line(words),
            ended.status,
            ended.seconds,
            ended.answer,
            ended.tail if is_failed else (),
        )

    def _verdict(self, step: Step, ended: Ended) -> tuple[Status, str]:
        if ended.status == 0 and ended.answer is not None:
            return "passed", ""
        if self.stop.number is not None:
            return "interrupted", f"stopped by {self.stop.words}"
        return ("skipped" if self._is_absent(step, ended) else "failed"), reason_in(ended)

    def _is_absent(self, step: Step, ended: Ended) -> bool:
        """Whether what failed cannot be had here. A GPU that is seen and then not found is a fault."""
        code = ended.error.get("code")
        machine = self.outcomes.get("machine")
        has_gpu = machine is None or machine.answer is None or machine.field("gpu") is not None
        is_elsewhere = step.needs_ort and code == OTHER_DIALECT
        return code in NOT_INSTALLED or is_elsewhere or (code in NO_GPU and not has_gpu)


def reason_in(ended: Ended) -> str:
    """What is wrong with the machine, or what an engine lacks; else how the command ended."""
    found = ended.answer or {}
    faults, engines = found.get("faults"), found.get("engines")
    told = [str(each) for each in faults] if isinstance(faults, list) else []
    if isinstance(engines, list):
        lacking = [each for each in engines if isinstance(each, dict) and each.get("shortage")]
        told += [f"{each.get('engine')}: {each['shortage']}" for each in lacking]
    return one_line("; ".join(told)) or ended.ending
