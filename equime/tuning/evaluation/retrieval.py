"""Which caption does the model believe? Each clip's true one against wrong ones, by what the model would say.

    ranked = rank(opened, clips, examples, candidates=20, conditions=["seen", "blind"], out=Path("out"))
    findings = retrieval(ranked)

A clip's candidates are its own caption, those that differ in one thing alone (side, unit, intensity, emotion, or the
programme of a twin: the pairs of task "preference"), and other subjects' programmes where they differ, with the clip's
own times: which part of it is shown stands in the question. They are ranked by the mean log-likelihood of the caption's
tokens given the video. Why: a model may know what it sees and word it badly; and random
captions are beaten by anybody, so what counts is by kind how often the true one is ahead of the wrong one (chance: .5).
Captions differ in how likely they are without any video, so it is asked without one as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from tqdm import tqdm

from equime.action_units import ActionUnit
from equime.audit.result import Audit, Finding
from equime.captioning import templates
from equime.captioning.vlm_model import quiet
from equime.noise import seed_of
from equime.optional import need
from equime.tuning.clips import Clips
from equime.tuning.evaluation.answer import EXTRA, Opened, batches, fitting, shown
from equime.tuning.evaluation.baselines import Ask, asked
from equime.tuning.evaluation.measures import Measure, differences, findings, mean_of
from equime.tuning.evaluation.store import Store
from equime.tuning.example import Example

Array = npt.NDArray[Any]

TRUE: Final = ""
OTHER: Final = "another clip"
COLUMNS: Final = ("clip_id", "subject_id", "condition", "shown", "kind", "caption")
SCHEMA: Final = pa.schema([*((name, pa.string()) for name in COLUMNS), ("score", pa.float64())])
AT: Final = (1, 5)


@dataclass(frozen=True)
class Ranked:
    """The scores of one clip's candidates, higher is likelier.

    Attributes:
        clip_id: Which clip the captions are of.
        subject_id: Whose.
        condition: "seen", "blind" or "shuffled".
        true: Of its own caption.
        wrong: (kind, score) of the others: how each is wrong, or "another clip".
    """

    clip_id: str
    subject_id: str
    condition: str
    true: float
    wrong: tuple[tuple[str, float], ...]


def candidates(examples: Iterable[Example], size: int) -> list[list[tuple[str, Example]]]:
    """Of each clip its candidates as (kind, example whose answer is the candidate), the true one first.

    Args:
        examples: Of task "preference".
        size: How many candidates; clips that find fewer different ones have fewer.
    """
    own: dict[str, list[Example]] = {}
    for example in examples:
        if example.rejected is not None:
            own.setdefault(example.clip_id, []).append(example)
    firsts = [pairs[0] for pairs in own.values()]
    found = []
    for pairs in own.values():
        first = pairs[0]
        taken = {first.answer: TRUE}
        for pair in pairs:
            taken.setdefault(pair.rejected or "", pair.wrong)
        others = [one for one in firsts if one.subject_id != first.subject_id and _content(one) != _content(first)]
        others.sort(key=lambda other, first=first: seed_of(0, f"{first.clip_id}\0{other.clip_id}"))  # type: ignore[misc]
        for other in others:
            taken.setdefault(_worded(other, first), OTHER)
        found.append([(kind, replace(first, answer=text)) for text, kind in [*taken.items()][:size]])
    return found


def _content(example: Example) -> tuple[str | None, frozenset[ActionUnit]]:
    return example.truth.emotion, frozenset(example.truth.units)


def _worded(other: Example, clip: Example) -> str:
    """A caption of what another clip shows, as if it were of this one."""
    times = clip.truth.onset_ms, clip.truth.apex_ms, clip.truth.offset_ms
    return templates.caption(other.truth.emotion, other.truth.units, *times, seed_of(0, other.clip_id))


def rank(
    opened: Opened,
    clips: Clips,
    examples: Sequence[Example],
    out: Path,
    *,
    size: int = 20,
    conditions: Iterable[str] = ("seen", "blind"),
    batch_size: int = 4,
) -> list[Ranked]:
    """Score the candidates of every clip, those that were not yet.

    Args:
        opened: The model.
        clips: Where the videos are.
        examples: Of task "preference".
        out: A folder: scores that lie there are kept.
        size: Candidates of each clip.
        conditions: Of "seen", "blind" and "shuffled".
        batch_size: Candidates scored together.
    """
    store = Store(out, "retrieval", SCHEMA, {**opened.made_by, "clips": clips.digest})
    scored = {_key(row): row for row in store.read()}
    listed = {chosen[0][1].clip_id: chosen for chosen in candidates(examples, size)}
    turns = asked([chosen[0][1] for chosen in listed.values()], conditions)
    with tqdm(desc="retrieval", total=len(turns), unit="clip", disable=None) as bar:
        for turn in turns:
            rows = [_row(turn, kind, one.answer) for kind, one in listed[turn.example.clip_id]]
            todo = [row for row in rows if _key(row) not in scored]
            asks = [Ask(replace(turn.example, answer=row["caption"]), turn.condition, turn.shown) for row in todo]
            seen = shown(opened.view, clips, asks[:1])
            fresh = []
            for batch in batches(asks, batch_size):
                fresh += fitting(batch, lambda part, seen=seen: likelihoods(opened, part, seen * len(part)))
            done = [{**row, "score": score} for row, score in zip(todo, fresh, strict=True)]
            store.add(done)
            scored |= {_key(row): row for row in done}
            bar.update()
    store.close([*scored.values()])
    return [_ranked(turn, listed[turn.example.clip_id], scored) for turn in turns]


def likelihoods(opened: Opened, asks: Sequence[Ask], seen: Sequence[Any]) -> list[float]:
    """The mean log-likelihood, in nats a token, of each answer and its end, given question and video."""
    torch = need("torch", extra=EXTRA)
    with quiet(), torch.inference_mode():
        inputs = dict(opened.inputs(asks, seen, [ask.example.answer for ask in asks]))
        labels = inputs.pop("labels")[:, 1:]
        logits = opened.model(**inputs).logits[:, :-1]
        held = labels != -100
        found = torch.zeros(labels.shape, device=labels.device)
        found[held] = torch.log_softmax(logits[held].float(), -1).gather(1, labels[held][:, None])[:, 0]
        return list((found.sum(1) / held.sum(1)).tolist())


def retrieval(ranked: Sequence[Ranked]) -> list[Finding]:
    """R@1, R@5, mean rank and how often each kind of wrong caption is beaten, by condition; and what the video adds.

    Captions of equal score are in any order: the expected rank, and the chance to be among the first.
    """
    conditions = dict.fromkeys(one.condition for one in ranked)
    parts = {name: sorted((r for r in ranked if r.condition == name), key=lambda r: r.clip_id) for name in conditions}
    found: list[Finding] = []
    for name, part in parts.items():
        found += findings(measures(part), _subjects(part), f"retrieval, {name}")
    for name in list(parts)[1:]:
        first = parts[next(iter(parts))]
        shared = {one.clip_id for one in first} & {one.clip_id for one in parts[name]}
        pair = [[one for one in part if one.clip_id in shared] for part in (first, parts[name])]
        one, two = (measures(part) for part in pair)
        found += differences(one, two, _subjects(pair[0]), f"retrieval, {first[0].condition} - {name}")
    return found


def with_retrieval(found: Audit, ranked: Sequence[Ranked]) -> Audit:
    """Scores with those of retrieval."""
    return replace(found, findings=(*found.findings, *retrieval(ranked)))


def measures(ranked: Sequence[Ranked]) -> list[Measure]:
    """The measures of one condition."""
    sizes = np.array([1 + len(one.wrong) for one in ranked])
    places = np.array([_places(one) for one in ranked], np.float64).reshape(-1, 2)
    ahead, equal = places.T
    found = []
    for k in (k for k in AT if k < sizes.max()):  # among five, everybody's is among the first five
        inside = np.clip((k - ahead) / (equal + 1), 0, 1)
        chance = float(np.minimum(1, k / sizes).mean())
        found.append(mean_of(f"R@{k}", inside, reference=chance, note=f"of {_sizes(sizes)}", is_headline=True))
    rank = 1 + ahead + equal / 2
    found.append(mean_of("mean rank", rank, reference=float((sizes + 1).mean() / 2), is_headline=True))
    for kind in sorted({kind for one in ranked for kind, _ in one.wrong}):
        won = np.array([_won(one, kind) for one in ranked])
        found.append(mean_of("beaten", won, of=kind, reference=0.5, is_headline=True))
    return found


def _places(one: Ranked) -> tuple[int, int]:
    """How many wrong ones are likelier, and how many are as likely."""
    return sum(score > one.true for _, score in one.wrong), sum(score == one.true for _, score in one.wrong)


def _won(one: Ranked, kind: str) -> float:
    won = [float(one.true > score) + 0.5 * (one.true == score) for name, score in one.wrong if name == kind]
    return float(np.mean(won)) if won else np.nan


def _sizes(sizes: Array) -> str:
    return f"{sizes.min()}" if sizes.min() == sizes.max() else f"{sizes.min()} to {sizes.max()}"


def _subjects(ranked: Sequence[Ranked]) -> Array:
    return np.array([one.subject_id for one in ranked])


def _row(turn: Ask, kind: str, caption: str) -> dict[str, Any]:
    example = turn.example
    told = (example.clip_id, example.subject_id, turn.condition, turn.shown, kind, caption)
    return dict(zip(COLUMNS, told, strict=True))


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("clip_id", "condition", "shown", "caption"))


def _ranked(turn: Ask, chosen: Sequence[tuple[str, Example]], scored: Mapping[Any, Mapping[str, Any]]) -> Ranked:
    scores = [(kind, scored[_key(_row(turn, kind, one.answer))]["score"]) for kind, one in chosen]
    example = turn.example
    return Ranked(example.clip_id, example.subject_id, turn.condition, scores[0][1], tuple(scores[1:]))
