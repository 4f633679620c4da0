"""The causal model behind every clip: emotion -> action units -> intensity, side, times.

What: `EmotionModel` draws a `Programme` (units with side and intensity, onset, apex, offset) for an
emotion, also under an intervention (`Do`), and says what a planned clip would have shown under another emotion, other
units or with another face (`counterfactual`); `noise` and `seed_of` give every mechanism its own named, seeded noise.
Why: the units of a clip follow coded real clips and nothing else. Who is shown never enters here: the
demographics act through the source face alone, so they are independent of emotion and units by
construction. Each mechanism is one method with one named noise, so a mechanism can be replaced while
the noise of all others stays what it was.

    equime causal show --out graph.svg
    python -c "from equime.causal import EmotionModel; print(EmotionModel.from_tables().ceiling())"

Fitted, not typed in: all probabilities are computed from `equime.au_counts`, or from a user's own coded clips. The
arrows into intensity, side and times are there for emotion and units alike; with the packaged tables the units' part
is the caps and the units that exist on two sides, and the emotion's part is the same for all emotions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np

from equime import schema
from equime.action_units import FACS, INTENSITIES, ActionUnit, Side
from equime.au_counts import COUNTS
from equime.errors import EquimeError
from equime.noise import noise, seed_of
from equime.scm.ceiling import Ceiling, ceiling
from equime.scm.coded import Coded
from equime.scm.intervention import Do as Do
from equime.scm.intervention import Programme, Row, changed, programme_of
from equime.scm.manner import INTENSITY_CAPS, PAIRED_UNITS, Intensities, Sides, fit_manner
from equime.scm.model_file import read_model, write_model
from equime.scm.times import APEX_MS, MAX_DURATION_MS, MAX_ONSET_TO_APEX_MS, MIN_GAP_MS, Times, fit_times
from equime.scm.unit_fit import WEAK_DEVIATION, WEIGHTS, fit_units
from equime.scm.unit_model import NEVER, Borrowed, Outcome, UnitModel, borrowed

__all__ = [
    "APEX_MS",
    "ARROWS",
    "EMOTIONS",
    "INTENSITY_CAPS",
    "MAX_DURATION_MS",
    "MAX_ONSET_TO_APEX_MS",
    "MIN_GAP_MS",
    "PAIRED_UNITS",
    "Borrowed",
    "Do",
    "EmotionModel",
    "Programme",
    "noise",
    "seed_of",
]

EMOTIONS = (*schema.EMOTIONS, schema.DISGUST)
"""The emotions that the tables can be fitted for."""
ARROWS: tuple[tuple[str, str], ...] = (
    ("D", "face"),
    ("E", "A"),
    *((cause, effect) for effect in ("intensity", "side", "times") for cause in ("E", "A")),
    *((cause, "clip") for cause in ("face", "A", "intensity", "side", "times")),
)
"""Cause -> effect. D: perceived gender, age band and race of the source; E: intended emotion; A: action units."""
Noise = Callable[[str], np.random.Generator]
T = TypeVar("T")


@dataclass(frozen=True)
class EmotionModel:
    """Emotion -> units -> intensity, side and times.

    Attributes:
        units: emotion -> distribution of its units.
        intensities: emotion -> shares of the letters.
        sides: emotion -> which units act on one side, and on which.
        times: emotion -> duration and onset-to-apex.
        caps: unit -> strongest letter; the shares of the letters up to it are scaled to sum to 1.
    """

    units: Mapping[str, UnitModel]
    intensities: Mapping[str, Intensities]
    sides: Mapping[str, Sides]
    times: Mapping[str, Times]
    caps: Mapping[int, str]

    @classmethod
    def from_tables(
        cls,
        weights: Mapping[str, float] = WEIGHTS,
        can_show: Collection[int] | None = None,
        never: Collection[int] = NEVER,
        caps: Mapping[int, str] = INTENSITY_CAPS,
        weak: float = WEAK_DEVIATION,
    ) -> EmotionModel:
        """Fit from `equime.au_counts`: units as `scm.unit_fit.fit_units` says; the rest the same for all emotions.

        Args:
            weights: set -> weight of one of its clips; sets not named weigh 0.
            can_show: units that the generator can show; None is all that `never` leaves.
            never: units not sampled whatever the generator says.
            caps: unit -> strongest intensity letter.
            weak: strength of the weak pairs 4-7 and 4-9: the prior standard deviation of their log odds ratios.

        Raises:
            EquimeError: unknown sets or units, negative weights, no clips for an emotion, or an emotion
                of whose units none can be shown.
        """
        units = {emotion: fit_units(emotion, COUNTS, weights, weak) for emotion in EMOTIONS}
        letters, sides, times = Intensities.of_tables(), Sides.of_tables(), Times.of_tables()
        whole = cls(units, _each(letters), _each(sides), _each(times), dict(caps))
        return whole.showing((frozenset(FACS) if can_show is None else frozenset(can_show)) - frozenset(never))

    @classmethod
    def from_coded(
        cls,
        coded: Coded,
        name: str = "",
        weight: float = 1.0,
        tables: Mapping[str, float] | None = None,
        never: Collection[int] = NEVER,
        weak: float = WEAK_DEVIATION,
    ) -> EmotionModel:
        """Fit from a user's own coded clips, pooled with packaged tables by stated weights.

        An emotion that none of these has borrows the packaged tables by their default weights, and `borrowed` says
        so. Intensity, sides and times are fitted where the clips carry them (`equime.scm.manner`, `equime.scm.times`).

        Args:
            coded: what `equime.scm.coded.read_coded` read.
            name: of the set; "" names it by its layout.
            weight: of one of its clips.
            tables: packaged set -> weight of one of its clips.
            never: units not sampled.
            weak: as in `from_tables`.

        Raises:
            EquimeError: as `from_tables`, or the same set counts twice.
        """
        name, tables = name or coded.layout, tables or {}
        if tables.get(name):
            raise EquimeError(f"expected each set once, got {name} from the file and from the tables; --set NAME it")
        sets, weights = {**COUNTS, name: coded.counts()}, {**tables, name: weight}
        known = {emotion for key, value in weights.items() if value for emotion in sets.get(key, {})}
        units = {
            emotion: fit_units(emotion, sets, weights, weak)
            if emotion in known
            else fit_units(emotion, COUNTS, WEIGHTS, weak)
            for emotion in EMOTIONS
        }
        clips = {emotion: coded.by_emotion().get(emotion, []) for emotion in EMOTIONS}
        letters, sides = fit_manner({e: [clip.coding.units for clip in found] for e, found in clips.items()}, weight)
        durations = {e: [c.duration_ms for c in found if c.duration_ms is not None] for e, found in clips.items()}
        rises = {e: [c.rise_ms for c in found if c.rise_ms is not None] for e, found in clips.items()}
        model = cls(units, letters, sides, fit_times(durations, rises, weight), dict(INTENSITY_CAPS))
        return model.showing(frozenset(FACS) - frozenset(never))

    def showing(self, can_show: Collection[int], caps: Mapping[int, str] | None = None) -> EmotionModel:
        """The model of what a generator can show: other units are summed out and intensities capped.

        Args:
            can_show: units that can be shown.
            caps: unit -> strongest intensity letter; None keeps the model's own.

        Raises:
            EquimeError: unknown units, or an emotion of whose units none can be shown.
        """
        if not set(can_show).issubset(FACS):
            raise EquimeError(f"expected FACS units, got can_show = {sorted(can_show)}; correct it")
        units: dict[str, UnitModel] = {}
        for emotion, model in self.units.items():
            try:
                units[emotion] = model.showing(can_show)
            except EquimeError as error:
                raise EquimeError(f"expected a unit of {emotion} that can be shown: {error}") from error
        return replace(self, units=units, caps=self.caps if caps is None else dict(caps))

    @property
    def borrowed(self) -> dict[str, Borrowed]:
        """The emotions that some set of the model lacks, or that prototypes fill in: what they rest on instead."""
        return borrowed(self.units)

    def dropped_share(self, emotions: Sequence[str] = schema.EMOTIONS) -> dict[str, float]:
        """Share of the tables' unit marks that are never sampled, 0 to 1.

        Per emotion, and "overall" for a data set that has each of `emotions` equally often; the units
        and their marks a clip are in ``units[emotion].dropped``.
        """
        lost = {emotion: math.fsum(self.units[emotion].dropped.values()) for emotion in emotions}
        total = {emotion: lost[emotion] + self.units[emotion].kept for emotion in emotions}
        shares = {emotion: lost[emotion] / total[emotion] for emotion in emotions}
        return {**shares, "overall": math.fsum(lost.values()) / math.fsum(total.values())}

    def posterior(self, units: Iterable[int], emotions: Sequence[str] = schema.EMOTIONS) -> dict[str, float]:
        """P(emotion | these units and no others), of `emotions` in equal shares.

        Raises:
            EquimeError: no emotion shows exactly these units.
        """
        key = tuple(sorted(units))
        found = {emotion: self.units[emotion].exactly(key) for emotion in emotions}
        total = math.fsum(found.values())
        if not total:
            raise EquimeError(f"expected units that an emotion shows together, got {key}; see `equime causal show`")
        return {emotion: chance / total for emotion, chance in found.items()}

    def ceiling(self, emotions: Sequence[str] = schema.EMOTIONS) -> Ceiling:
        """The best possible UF1 of emotion given units, of `emotions` in equal shares: see `equime.scm.ceiling`.

        Sets of units less likely than 1e-8 are left out.
        """
        tables = [self.units[emotion].distribution(least=1e-8) for emotion in emotions]
        outcomes: dict[Outcome, None] = dict.fromkeys(key for table in tables for key in table)
        likelihoods = np.array([[table.get(key, 0.0) for table in tables] for key in outcomes])
        return ceiling(likelihoods / likelihoods.sum(0))

    def sample(self, emotion: str, noise: Noise, do: Do | None = None) -> Programme:
        """Draw what a clip shall show.

        Args:
            emotion: one of `EMOTIONS`.
            noise: name -> generator, asked once each for "units", "intensity", "side" and "times"; the
                same generators give the same programme.
            do: what is set from outside. Only the arrows into what it sets are cut: every other variable is drawn
                from its own causes and its own noise, so what does not follow from `do` stays as without it.

        Raises:
            EquimeError: the emotion is unknown.
        """
        do = do or _NOTHING
        emotion = do.emotion or emotion
        if emotion not in self.units:
            known = ", ".join(self.units)
            raise EquimeError(f"expected an emotion among {known}, got {emotion = }; correct it")
        numbers = do.units or self.draw_units(emotion, noise("units"))
        letters = self.draw_intensities(numbers, noise("intensity"), emotion)
        sides = self.draw_sides(numbers, noise("side"), emotion)
        times = do.times or self.draw_times(noise("times"), emotion)
        units = (
            ActionUnit(au, do.side_of(au, side), do.letter(au, letter, self.caps.get(au, INTENSITIES[-1])))
            for au, side, letter in zip(numbers, sides, letters, strict=True)
        )
        return Programme(tuple(sorted(units)), *times)

    def counterfactual(self, row: Row, do: Do, given: Do | None = None) -> dict[str, Any]:
        """A planned row as it would have been under `do`: the same noise, only what follows from `do` changed.

        Args:
            row: columns of the plan by name; its seed holds all its noise.
            do: another emotion, units, intensity, side, times or face. An empty one returns the row itself.
            given: interventions that the row was planned under, such as ``Do(intensity="D")`` of a dose sweep;
                they hold on under `do`.

        Returns:
            The row. Where anything changed, `equime.scm.intervention.NAMED_AFTER` (clip id, twins, prompt) are None.

        Raises:
            EquimeError: this model did not draw the row.
        """
        given = given or _NOTHING
        shown, named = programme_of(row), partial(_noise, int(row["seed"]))
        before = self.sample(str(row["emotion"]), named, given)
        if not before.is_like(shown):
            raise EquimeError(
                f"expected a row that this model draws, got {row.get('clip_id')}: take the model that it was planned "
                "with, and pass the interventions it was planned under as `given`"
            )
        return changed(row, before, self.sample(str(row["emotion"]), named, given.then(do)), do)

    def draw_units(self, emotion: str, rng: np.random.Generator) -> Outcome:
        """Unit numbers given the emotion; at least one."""
        return self.units[emotion].draw(_uniforms(rng))

    def draw_intensities(self, units: Sequence[int], rng: np.random.Generator, emotion: str) -> list[str]:
        """A letter a unit, each from its own number."""
        uniforms, letters = _uniforms(rng), self.intensities[emotion]
        return [letters.letter(self.caps.get(au, INTENSITIES[-1]), uniforms[au]) for au in units]

    def draw_sides(self, units: Sequence[int], rng: np.random.Generator, emotion: str) -> list[Side]:
        """A side a unit: the one-sided units of a clip act on the same side."""
        uniforms, sides = _uniforms(rng), self.sides[emotion]
        side: Side = "L" if uniforms[0] < sides.left else "R"
        return [side if uniforms[au] < sides.one_sided.get(au, 0.0) else "B" for au in units]

    def draw_times(self, rng: np.random.Generator, emotion: str = EMOTIONS[0]) -> tuple[float, float, float]:
        """Onset, apex, offset in ms (see `Times.draw`); with the packaged tables the same for every emotion."""
        return self.times[emotion].draw(rng)

    def to_json(self) -> str:
        """The model as text; `from_json` gives it back exactly."""
        return write_model(vars(self))

    @classmethod
    def from_json(cls, text: str) -> EmotionModel:
        """The inverse of `to_json`.

        Raises:
            EquimeError: no JSON, another version, or anything in it that is no probability, unit or time.
        """
        return cls(**read_model(text))


_NOTHING = Do()
_noise = noise


def _each(value: T) -> dict[str, T]:
    return dict.fromkeys(EMOTIONS, value)


def _uniforms(rng: np.random.Generator) -> list[float]:
    """A number in [0, 1) for every unit, and a 0th."""
    found: list[float] = rng.random(max(FACS) + 1).tolist()
    return found
