"""Shots: what is decided about a clip before its programme is drawn, and how it becomes a row of the plan.

A shot says whose face, which emotion or control, and which noise; the causal model then draws units, intensity, side
and times from that noise alone, so nothing about the face can reach them. Two shots that share a noise key share the
programme: that is what twins and dose sweeps are made of.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from equime import prompts, schema
from equime.action_units import ActionUnit
from equime.causal import EmotionModel, Programme, noise, seed_of
from equime.scm.intervention import Do
from equime.screening.gallery import Source

Row = dict[str, Any]
MACRO_MS = (1000.0, 2400.0)
"""Duration of a macro control: an expression that is no micro-expression by its length (over 500 ms)."""
MACRO_INTENSITY = "E"
"""Of a macro control, or the strongest that can be shown."""


@dataclass(frozen=True)
class Shot:
    """One clip to plan.

    Attributes:
        source: The face.
        folder: An emotion, or one of `schema.CONTROLS`.
        sequence: Its number among the subject's clips of that folder, from 1.
        design: Why it is planned, of `schema.DESIGNS`.
        noise_key: Whose noise it takes; None is its own.
        letter: Every unit at this intensity (or the strongest that can be shown) instead of the drawn ones.
        twin_id, twin_contrast: The pair it belongs to, and what the pair's faces differ in.
    """

    source: Source
    folder: str
    sequence: int
    design: str = "balanced"
    noise_key: str | None = None
    letter: str | None = None
    twin_id: str | None = None
    twin_contrast: str | None = None

    @property
    def clip_id(self) -> str:
        """The released path without its ending."""
        return clip_id(self.folder, self.source, self.sequence)

    @property
    def is_control(self) -> bool:
        """Whether it lies outside the five folders."""
        return self.folder in schema.CONTROLS


def clip_id(folder: str, source: Source, sequence: int) -> str:
    """`<emotion or control>/<f|m|u>_<subject>_<NN>`."""
    return f"{folder}/{source.code}_{source.subject_id}_{sequence:02d}"


@dataclass(frozen=True)
class Writer:
    """Draws the programmes of shots, and words them.

    Attributes:
        model: The causal model.
        seed: The plan's.
        wording: "units" for prompts from the programme, "reference" for the one prompt of the reference script.
    """

    model: EmotionModel
    seed: int
    wording: str = "units"

    def row(self, shot: Shot, epoch: int, split: str, cell: str) -> Row:
        """The shot as a row of the plan."""
        source, key = shot.source, shot.noise_key or shot.clip_id
        seed = seed_of(self.seed, key)
        programme = self._programme(shot, seed)
        times = (programme.onset_ms, programme.apex_ms, programme.offset_ms) if programme else (None, None, None)
        frames = [None if ms is None else round(ms * schema.FPS / 1000) for ms in times]
        units = programme.units if programme else ()
        return {
            "clip_id": shot.clip_id,
            "subject_id": source.subject_id,
            "source": source.path,
            "source_sha256": source.sha256,
            "source_licence": source.licence,
            "source_gender": source.gender,
            "source_age": source.age,
            "source_race": source.race,
            "cell": cell,
            "epoch": epoch,
            "design": shot.design,
            "emotion": None if shot.is_control else shot.folder,
            "sequence": shot.sequence,
            "control": shot.folder if shot.is_control else None,
            "action_units": [unit.to_dict() for unit in units],
            **dict(zip(("onset_ms", "apex_ms", "offset_ms"), times, strict=True)),
            **dict(zip(("onset", "apex", "offset"), frames, strict=True)),
            "noise_key": key,
            "seed": seed,
            "twin_id": shot.twin_id,
            "twin_contrast": shot.twin_contrast,
            "prompt": self._prompt(shot, units, times),
            "negative_prompt": prompts.NEGATIVE,
            "split": split,
        }

    def _programme(self, shot: Shot, seed: int) -> Programme | None:
        """Everything it draws comes from the seed: neither the face nor its labels are asked."""
        named = partial(noise, seed)
        if not shot.is_control:
            return self.model.sample(shot.folder, named, Do(intensity=shot.letter) if shot.letter else None)
        if shot.folder != "macro":
            return None
        rng = named("macro")
        emotion = schema.EMOTIONS[int(rng.integers(len(schema.EMOTIONS)))]
        duration = float(rng.uniform(*MACRO_MS))
        onset = (schema.DURATION_MS - duration) * float(rng.uniform(0.4, 0.6))
        times = (onset, onset + duration * float(rng.uniform(0.35, 0.5)), onset + duration)
        return self.model.sample(emotion, named, Do(intensity=MACRO_INTENSITY, times=times))

    def _prompt(self, shot: Shot, units: tuple[ActionUnit, ...], times: tuple[float | None, ...]) -> str:
        if self.wording == "reference":
            return prompts.REFERENCE
        return prompts.BLINK if shot.folder == "blink" else prompts.prompt(units, *times)
