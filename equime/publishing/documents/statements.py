"""What the documents of a release say of it in plain sentences: measured ones, and standing ones.

    composition(facts)        # ["Perceived race, by the labels of the source pictures: evenness 0.993 ...", ...]
    OUT_OF_SCOPE              # what the data is not for

Why apart: the datasheet and the Croissant file say the same, one for people and one for programs, and the card some of
it. Every number comes from `Facts`; what was not measured is said to be not measured. No subject's id and no source is
named. The text is plain: whoever puts it into Markdown or JSON escapes it.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping
from typing import Final

from equime import schema
from equime.planning.equity_report import Balance, Equity
from equime.planning.targets import PRIORITY
from equime.publishing.documents import terms
from equime.publishing.documents.facts import Facts, Group, Spread
from equime.publishing.documents.markdown import many

PURPOSE: Final = (
    "To recognise micro-expressions, and to study how far recognisers hold for everybody: with subjects meant to be "
    "balanced over perceived gender, age and race, and with matched pairs of clips that differ in the face alone."
)
USES: Final = tuple(f"{each[0].upper()}{each[1:]}." for each in terms.INTENDED)
OUT_OF_SCOPE: Final = tuple(
    f"{each[0].upper()}{each[1:]}." for each in (e.replace("**", "") for e in terms.OUT_OF_SCOPE)
)
LIKENESSES: Final = (
    "Every clip is synthetic, and is the likeness of a real person: it was made from that person's picture. Nobody "
    "shown made the expression or felt the emotion."
)
INTENDED: Final = "An emotion is the intended programme of facial action units, never a felt emotion."
PERCEIVED: Final = (
    "Gender, age and race are perceived: the impression of a classifier or an annotator, never a person's own word. "
    "Classifiers of faces err, and not equally for every group."
)
SENSITIVE: Final = (
    "Gender: perceived, as labels and probabilities.",
    "Age: perceived, as years and bands.",
    "Others: perceived race, tone of skin as pictured, and facial likenesses, which can be biometric data.",
)
LIMITATIONS: Final = (
    "Synthetic: what holds for these clips has to be shown on real ones.",
    "Source pictures are meant to be of adults at rest, near frontal, which a screen checks unless it was waived; "
    "other poses, ages and faces are not covered.",
    "Six words for race and two for gender describe impressions, not people; who fits none is in no group.",
    "Measures of fidelity reward stillness: a frozen clip is perfect in them.",
)
UNMEASURED: Final = "not measured"
GROUPED: Final[Mapping[str, str]] = {
    "emotion": "intended emotion",
    "intensity": "intensity of the strongest unit",
    **{name: f"perceived {name} (the source's label)" for name in PRIORITY},
}
"""What `origin.Accepted` groups clips by."""


def what(facts: Facts) -> str:
    """What an instance is."""
    if facts.about.mode == "recipe":
        return "Descriptions of synthetic micro-expression video, and what it takes to make it again; no pictures."
    return "Synthetic micro-expression video, planned by facial action units, with captions, labels and scores."


def scope(facts: Facts) -> str:
    """How many clips of whom, and in which split."""
    splits = "; ".join(f"{split} {_group(group)}" for split, group in facts.by_split.items())
    shared = sum(group.subjects for group in facts.by_split.values()) - facts.subjects
    alone = f"{many(shared, 'subject')} in more than one" if shared else "no subject is in two"
    return f"{many(facts.clips, 'clip')} of {many(facts.subjects, 'subject')}: {splits}; {alone}."


def emotions(facts: Facts) -> str:
    """Clips by intended emotion or control, over all splits."""
    totals: dict[str, int] = {}
    for labels in facts.counts.values():
        for label, count in labels.items():
            totals[label] = totals.get(label, 0) + count
    return f"Clips by intended emotion or control: {_listed(totals)}."


def left_out(facts: Facts) -> str:
    """What was planned and is not there."""
    told = f"{many(facts.planned, 'clip')} planned; left out: {_listed(facts.left_out) or 'none'}."
    if facts.scored:
        share = facts.accepted / facts.scored
        return f"{told} Of {many(facts.scored, 'clip')} with a score {share:.1%} passed every gate."
    return f"{told} Whether clips are valid micro-expressions was {UNMEASURED}."


def acceptance(facts: Facts) -> list[str]:
    """Who was accepted, a sentence for each way to group clips in which some have a label."""
    found: dict[str, list[str]] = {}
    for each in facts.acceptance:
        if any(other.group for other in facts.acceptance if other.by == each.by):
            groups = found.setdefault(each.by, [])
            groups.append(f"{each.group or 'no label'} {each.accepted:,} of {each.judged:,}")
    return [f"Clips accepted by {GROUPED[by]}: {', '.join(groups)}." for by, groups in found.items()]


def composition(facts: Facts) -> list[str]:
    """A sentence for each perceived attribute and for each who labelled it; then the tone of skin."""
    found = []
    for who, equity in (("the labels of the source pictures", facts.source), ("the tagger's labels", facts.tagged)):
        if equity is None:
            found.append(f"Composition by {who}: {UNMEASURED}.")
        else:
            found += [_balance(name, who, equity, balance) for name, balance in equity.balances.items()]
    skin = "; ".join(f"{band} {_group(group)}" for band, group in facts.skin.items())
    return [*found, f"Tone of skin as pictured (individual typology angle): {skin or UNMEASURED}."]


def _balance(name: str, who: str, equity: Equity, balance: Balance) -> str:
    title = "gender, age and race together" if name == "joint" else name
    parts = []
    for what, word in (("identities", "subjects"), ("clips", "clips")):
        measures = balance.measures(what)
        if math.isnan(measures["evenness"]):
            return f"Perceived {title}, by {who}: {UNMEASURED}, no subject has a label."
        effective = f"{measures['effective_groups']:.2f} effective groups of {len(balance.shares)}"
        parts.append(f"evenness {measures['evenness']:.3f} over {word}, {effective}")
    text = f"Perceived {title}, by {who}: {'; '.join(parts)}"
    if name != "joint":
        text += f"; subjects: {_listed(balance.identities)}"
    else:
        filled = sum(map(bool, balance.identities.values()))
        text += f"; {filled} of {len(balance.identities)} groups have a subject"
    missing = balance.unlabelled + balance.outside
    return text + (f"; without a label: {missing} of {equity.identities}." if missing else ".")


def licences(facts: Facts) -> list[str]:
    """The licences of the source pictures, as recorded."""
    return [f"{name}: {_group(group)}" for name, group in facts.licences.items()]


def sources(facts: Facts) -> str:
    """What is published of the source pictures: nothing, but of a recipe a keyed hash."""
    told = "Neither the source pictures nor their names or hashes are published"
    if facts.about.mode == "recipe":
        return f"{told}, but for a keyed hash of each: whoever holds a picture can tell that it is the one."
    return f"{told}."


def subject_ids(facts: Facts) -> str:
    """Whether subjects stand under pseudonyms, as the planning recorded it."""
    chosen = {bool(way.fields.get("pseudonyms")) for way in facts.made if way.stage == "plan"}
    if chosen == {True}:
        return "Subject ids are pseudonyms."
    some = "pseudonyms for some, for others " if True in chosen else ""
    return f"Subject ids are {some}those under which the publisher held the pictures."


def permission(facts: Facts) -> str:
    """The written permission under which faces are passed on, where there is one."""
    given = facts.about.permission
    return f"Passed on under a written permission: {given}" if given else "No written permission is claimed."


def stages(facts: Facts, only: Container[str] = tuple(schema.GROUPS)) -> list[str]:
    """How columns of some groups were made: stage and version, models and revisions."""
    found = []
    for way in facts.made:
        if way.stage not in only and way.stage in schema.GROUPS:
            continue
        models = ", ".join(f"{name} {revision}".strip() for name, revision in sorted(way.models.items()))
        packages = ", ".join(f"{name} {version}" for name, version in sorted(way.packages.items()))
        text = f"{way.stage}, version {way.version}, {many(way.shards, 'shard')}"
        found.append(text + (f"; models: {models}" if models else "") + (f"; with {packages}" if packages else ""))
    return found or ["How the columns were made was not recorded."]


def pixels(facts: Facts) -> list[str]:
    """What made the clips, and in which format they are."""
    made = _listed(facts.generators) or "not recorded"
    return [f"Made by: {made} (clips).", f"Format: {_listed(facts.formats) or 'not recorded'} (clips)."]


def programme(facts: Facts) -> list[str]:
    """The planned expressions: intensities, sides, times."""
    return [
        f"Strongest intensity, A trace to E maximum, by clips: {_listed(facts.intensities) or 'no action units'}.",
        f"Side of the planned units (the subject's own): {_listed(facts.sides) or 'no action units'}.",
        f"Planned duration: {_spread(facts.duration_ms)}; onset to apex: {_spread(facts.rise_ms)}.",
        f"Clips with a matched twin: {facts.twins:,}. Why clips were planned: {_listed(facts.designs)}.",
    ]


def quality(facts: Facts) -> str:
    """Means of the measures of fidelity."""
    told = ", ".join(f"{name} {mean:.4g} ({count:,})" for name, (mean, count) in facts.quality.items())
    return f"Mean of each measure (clips that have it): {told or UNMEASURED}."


def validity(facts: Facts) -> list[str]:
    """Measured against planned, with interval, and with what guessing gives."""
    if facts.validity is None or not facts.validity.figures.get("all"):
        return [f"How well measured expressions agree with the plan: {UNMEASURED}."]
    found = [
        "Measured against planned: within so many frames, areas under the ROC curve of regions and unit fidelity; in "
        "brackets the 95 % interval over subjects. Clips of one subject are not independent."
    ]
    for name, figure in facts.validity.figures["all"].items():
        if figure.value is not None:
            bounds = "" if figure.low is None or figure.high is None else f" [{figure.low:.3g}, {figure.high:.3g}]"
            guess = "" if figure.constant is None else f", a constant guess {figure.constant:.3g}"
            found.append(f"{name}: {figure.value:.3g}{bounds}{guess} ({many(figure.clips, 'clip')})")
    return found


def captions(facts: Facts) -> list[str]:
    """Who worded the captions, and how far they name the planned units."""
    if facts.captions is None:
        return ["Captions: none."]
    told = [f"Captions by: {_listed(facts.captioners)} (clips)."]
    for pair in facts.captions.pairs:
        if pair.clips:
            told.append(
                f"Action units {pair.compared} against {pair.against}: F1 {pair.micro.f1:.3f}, dealt at random "
                f"{pair.shuffled.f1:.3f} ({many(pair.clips, 'clip')})."
            )
    return told


def labels(facts: Facts) -> list[str]:
    """How sure the perceived labels are."""
    if facts.tags is None:
        return [f"Perceived labels by a tagger, and how sure they are: {UNMEASURED}."]
    tags = facts.tags
    told = [f"Tagged by: {_listed(tags.taggers)} (clips); {tags.tagged:,} of {many(tags.clips, 'clip')} have labels."]
    if tags.agreement is not None:
        told.append(f"Of the frames looked at {tags.agreement:.1%} say what their clip is labelled.")
    told.append(f"Subjects whose clips are labelled differently: {facts.unstable:,} of {facts.subjects:,}.")
    for name, (both, alike) in tags.against_source.items():
        if both:
            told.append(f"{name.capitalize()} is labelled as the source labels it in {alike:,} of {both:,} clips.")
    return told


def versions(facts: Facts) -> str:
    """How the data set is kept."""
    return (
        f"Version {facts.about.version} of {facts.about.date}, semantic versions as tags of {facts.about.repo}; "
        "CHANGELOG.md says what each one changes, manifest.json names every file and clip by hash. Earlier versions "
        f"keep loading, except after a removal. Subjects taken out on request so far: {facts.withdrawn:,}."
    )


def _group(group: Group) -> str:
    return f"{many(group.clips, 'clip')} of {many(group.subjects, 'subject')}"


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def _spread(spread: Spread | None) -> str:
    if spread is None:
        return "none planned"
    return f"median {spread.median:.0f} ms, {spread.least:.0f} to {spread.most:.0f} ms"
