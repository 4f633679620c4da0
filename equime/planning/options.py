"""What a plan depends on: every field is a flag of `equime plan`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from equime import schema
from equime.errors import EquimeError
from equime.options import nested, option
from equime.planning.faces import root_of
from equime.planning.schedule import Wishes
from equime.planning.twins import CALIPER
from equime.screening.celeba import is_celeba
from equime.screening.thresholds import Screen
from equime.table import SHARD_ROWS


@dataclass(frozen=True)
class PlanOptions:
    """What a plan depends on."""

    screen: Screen = nested(Screen)
    subjects: int | None = option(None, help="identities in all (default: as many as keep the races even)")
    per_emotion: int = option(1, help="clips of each emotion for every subject")
    max_repeats: int = option(1, help="times --per-emotion that subjects of rare groups may be repeated")
    targets: Path | None = option(None, help="CSV of shares by gender, age, race (default: every cell alike)")
    confusion: Path | None = option(
        None, help="CSV attribute,true,predicted,count of a study of the selecting labels: corrects the evenness"
    )
    allow_shortfall: bool = option(False, help="plan the best reachable where the faces cannot reach the targets")
    twins: int = option(0, help="matched pairs of subjects across groups, and as many within groups")
    caliper: float = option(CALIPER, help="most distance of a pair, in robust standard deviations")
    dose: int = option(0, help="subjects whose clips are planned again at every intensity, A to E")
    controls: tuple[str, ...] = option((), help="one clip of each beside the five emotions: neutral,macro,blink")
    prompt: Literal["units", "reference"] = option("units", help="prompts from the units, or the reference's one")
    model: Path | None = option(None, help="a model of `equime causal fit` (default: the packaged tables)")
    seed: int = option(0, help="seed of units, times and everything drawn")
    pseudonyms: bool | None = option(None, help="replace subject ids by pseudonyms (default: for CelebA-HQ)")
    pseudonym_key: Path | None = option(None, help="file whose content keys the pseudonyms (default: a random key)")
    shard_rows: int = option(SHARD_ROWS, help="rows a shard, fixed when the workspace is first planned")

    def __post_init__(self) -> None:
        """Refuse what cannot be planned."""
        least = {"per_emotion": 1, "max_repeats": 1, "shard_rows": 1, "twins": 0, "dose": 0}
        if self.subjects is not None:
            least["subjects"] = 1
        for name, lowest in least.items():
            if getattr(self, name) < lowest:
                flag = "--" + name.replace("_", "-")
                raise EquimeError(f"{flag} should be at least {lowest}, got {getattr(self, name)}")
        if not self.caliper > 0:
            raise EquimeError(f"--caliper should be above 0, got {self.caliper}")
        if unknown := sorted(set(self.controls) - set(schema.CONTROLS)):
            raise EquimeError(f"--controls should be of {list(schema.CONTROLS)}, got {unknown}")

    def pseudonymous(self, workspace: Path) -> bool:
        """Whether subject ids are replaced; by default those of CelebA-HQ are, whose ids are public."""
        return is_celeba(root_of(self.screen, workspace)) if self.pseudonyms is None else self.pseudonyms

    @property
    def wishes(self) -> Wishes:
        """What the schedule is made for."""
        names = ("subjects", "per_emotion", "max_repeats", "twins", "caliper", "dose", "controls", "seed")
        return Wishes(**{name: getattr(self, name) for name in names})
