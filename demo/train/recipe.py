"""How the demo model is trained: which stages, how long, how hard. One recipe for every machine."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace

from demo.sizes import DEMO_HYBRID, DEMO_LOW
from demo.train.loop import Plan
from edge_runtime.spec import ModelSpec, Role

ONE_PART = ("siglip", "sam", "text")  # stages that teach one part by itself
LANGUAGE = 0.3  # in stage 2; the paper's 0.7 leaves this little model blind (docs/decisions.md)
STAGE3_LANGUAGE = 0.1


@dataclass(frozen=True)
class Recipe:
    """`needs` of a stage are the stages whose weights it starts from, the later ones winning."""

    name: str
    spec: ModelSpec
    whole: ModelSpec  # the hybrid whose towers and language this recipe shares
    plans: tuple[Plan, ...]
    seed: int = 7
    language: float = LANGUAGE
    needs: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def plan(self, stage: str) -> Plan:
        return next(plan for plan in self.plans if plan.name == stage)

    @property
    def stages(self) -> tuple[str, ...]:
        return tuple(plan.name for plan in self.plans)

    def mark(self, stage: str) -> str:
        """Names everything in the recipe that decides a stage's weights."""
        return self._mark(stage, {})

    def _mark(self, stage: str, known: dict[str, str]) -> str:
        """Each stage once: all need all before them, so without `known` every stage would double the work."""
        if stage in known:
            return known[stage]
        before = [self._mark(need, known) for need in self.needs.get(stage, ())]
        spec = self.whole if stage in ONE_PART else self.spec
        said = [asdict(spec), asdict(self.plan(stage)), self.seed, before]
        if stage == "stage2":
            said.append(self.language)
        text = json.dumps(said, sort_keys=True)
        known[stage] = hashlib.sha256(text.encode()).hexdigest()
        return known[stage]


SHORT_CHECK = 6
PLANS = (
    Plan("siglip", 400, 64, 1e-3, 100),
    Plan("sam", 3600, 8, 1.5e-3, 300),
    Plan("text", 10000, 6, 1.5e-3, 500),
    Plan("stage1", 400, 8, 2e-3, 50),
    Plan("stage2", 900, 8, 1e-3, 100),
    Plan("stage3", 6000, 6, 1e-3, 250),
    Plan("scenes", 7000, 6, 1e-3, 250),
    Plan("again", 6000, 6, 1e-3, 250),
    Plan("places", 4500, 6, 1e-3, 250),
    Plan("looks", 5000, 6, 8e-4, 500),
    Plan("polish", 10000, 6, 7e-4, 500),
    Plan("counts", 9200, 6, 6e-4, 460),
    Plan("apart", 5800, 6, 6e-4, 580, share=0.7),
    Plan("heed", 3900, 6, 6e-4, 390),
    Plan("shades", 5800, 6, 6e-4, 580, share=0.7),
)
NAMES = tuple(plan.name for plan in PLANS)
NEEDS = {name: NAMES[:place] for place, name in enumerate(NAMES) if name not in ONE_PART}  # all before it
ALL_BUT_SAM: tuple[Role, ...] = ("vision_low", "adaptor", "embed", "decoder")
LEARNS: dict[str, tuple[Role, ...]] = {
    **dict.fromkeys(NAMES, ALL_BUT_SAM),
    "siglip": ("vision_low",),
    "sam": ("vision_high",),
    "text": ("embed", "decoder"),
    "stage1": ("adaptor",),
    "stage2": ("adaptor", "embed", "decoder"),
}
HYBRID = Recipe("hybrid", DEMO_HYBRID, DEMO_HYBRID, PLANS, needs=NEEDS)
LOW = Recipe(
    "low",
    DEMO_LOW,
    DEMO_HYBRID,
    tuple(plan for plan in PLANS if plan.name != "sam"),
    needs={stage: tuple(need for need in needs if need != "sam") for stage, needs in NEEDS.items()},
)
RECIPES = {recipe.name: recipe for recipe in (HYBRID, LOW)}


def shortened(recipe: Recipe, steps: int, batch: int) -> Recipe:
    """The same stages, each only `steps` long: for tests, and for a first look at a machine's speed."""
    plans = tuple(
        replace(plan, steps=steps, batch=batch, check_every=steps, checked=SHORT_CHECK)
        for plan in recipe.plans
    )
    return replace(recipe, name=f"{recipe.name}-short", plans=plans)
