r"""What was measured of the clips and their annotations, as the card's sections: quality, validity, captions, labels.

    print("\n\n".join(sections(facts)))

Every figure stands beside what guessing would give, and beside whom it holds for. What is released was selected by the
same measures, and that is said with them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from equime.metrics import wilson
from equime.publishing.documents import statements
from equime.publishing.documents.facts import GROUPED, Facts
from equime.publishing.documents.markdown import NOT_SAID, bullets, many, number, share, table, text
from equime.publishing.origin import Accepted
from equime.quality.figures import Figure
from equime.quality.study import Study

FIGURES: Final = (
    *("measured", "onset within 2", "apex within 2", "offset within 2", "duration within 2"),
    *("apex error, median ms", "duration error, median ms", "side", "regions", "unit fidelity"),
)
"""Of `quality.study`, in the order shown."""
MEANING: Final = {
    "measured": "an expression was found at all",
    "side": "the side was measured as planned",
    "regions": "area under the ROC curve: regions that should move against those that should not",
    "unit fidelity": "area under the ROC curve: motion is likened to its own plan against other programmes",
}
PAIRED: Final = {"named": "named in the caption", "planned": "planned", "measured": "measured"}


def sections(facts: Facts, picture: str | None = None) -> Iterator[str]:
    """Quality, validity, captions and labels, a section each.

    Args:
        facts: What was counted and measured.
        picture: Path in the release of the drawing of measures by group; None where it was not drawn.
    """
    yield "## Quality\n\n" + _quality(facts)
    yield "## Validity: is it a micro-expression?\n\n" + _validity(facts, picture)
    yield "## Captions\n\n" + _captions(facts)
    yield "## Labels and their error\n\n" + _labels(facts)


def _quality(facts: Facts) -> str:
    if not facts.quality:
        return "Not measured: no clip of this version is scored."
    rows = [(f"`{name}`", number(mean, 4), n) for name, (mean, n) in facts.quality.items()]
    return (
        "Means over the released clips. Measures between consecutive frames, the reference's too, reward "
        "stillness: a frozen clip is perfect. Read them beside `amplitude` (in eye distances) and `stillness`. What is "
        "not listed is not measured.\n\n" + table(("measure", "mean", "clips"), rows)
    )


# --- validity


def _validity(facts: Facts, picture: str | None) -> str:
    study = facts.validity
    if study is None:
        return "Not measured: no clip of this version is scored."
    drawn = [f"![Accepted, and measured as planned, by perceived group]({picture})"] if picture else []
    parts = [_selection(facts), *drawn, *_acceptance(facts.acceptance)]
    if study.clips:
        parts += [*_main(study), *_groups(study)]
    if study.controls:
        rows = [
            (f"control: {kind}", f["accepted"].clips, number(f["accepted"].value), number(f["measured"].value))
            for kind, f in study.controls.items()
        ]
        parts.append(table(("", "clips", "accepted", "something moved"), rows))
    return "\n\n".join(parts)


def _selection(facts: Facts) -> str:
    rejected = facts.left_out.get("rejected", 0)
    told = f"{facts.scored:,} of {facts.clips:,} released clips are scored, {facts.accepted:,} of them accepted. "
    if rejected:
        return told + (
            f"{many(rejected, 'rejected clip')} stayed out by the same measures: what is measured against the plan, "
            "below, holds for clips so selected, and flatters the generator."
            + ("" if facts.acceptance else " They do not say for whom it succeeds more often.")
        )
    return told + "No clip was left out because of its score."


def _acceptance(found: Sequence[Accepted]) -> Iterator[str]:
    """By group; ways of grouping in which no clip has a label are left out."""
    known = {each.by for each in found if each.group}
    rows = [
        (statements.GROUPED[each.by], each.group or "no label", each.accepted, each.judged, _share(each))
        for each in found
        if each.by in known
    ]
    if rows:
        yield (
            "Accepted, of the clips of the balanced plan that were judged before any was left out (what could not be "
            "made counts as not accepted; controls and dose sweeps do not count):"
        )
        yield table(("by", "group", "accepted", "judged", "share (95 % interval)"), rows)


def _share(found: Accepted) -> str:
    low, high = wilson(found.accepted, found.judged)
    return f"{share(found.accepted, found.judged)} ({100 * low:.1f} to {100 * high:.1f})"


def _main(study: Study) -> Iterator[str]:
    yield (
        f"Measured against planned, over {many(study.clips, 'clip')} of {many(study.subjects, 'subject')} that plan an "
        "expression. "
        "*Within 2*: at most two frames off; where nothing was measured, missed. *Constant*: the best "
        "guess that is the same for every clip. *Shuffled*: against the plans of other clips. Intervals are a "
        "bootstrap over subjects."
    )
    figures = [(name, study.figures["all"].get(name, Figure())) for name in FIGURES]
    head = ("figure", "value", "95 % interval", "constant", "shuffled", "clips")
    yield table(head, [_figure(name, figure) for name, figure in figures if figure.clips])
    yield bullets(f"{name}: {meaning}." for name, meaning in MEANING.items())


def _figure(name: str, figure: Figure) -> tuple[Any, ...]:
    digits = 1 if name.endswith(" ms") else 3
    value, constant, shuffled = (number(x, digits) for x in (figure.value, figure.constant, figure.control))
    interval = NOT_SAID if figure.low is None else f"{number(figure.low, digits)} to {number(figure.high, digits)}"
    return name, value, interval, constant, shuffled, figure.clips


def _groups(study: Study) -> Iterator[str]:
    yield "For whom it holds, by intensity of the strongest unit and by perceived group:"
    rows = [
        (text(group), figures["measured"].clips, *(_interval(figures.get(name, Figure())) for name in GROUPED))
        for group, figures in study.figures.items()
        if group != "all"
    ]
    yield table(("group", "clips", *GROUPED), rows)


def _interval(figure: Figure) -> str:
    span = "" if figure.low is None else f" ({number(figure.low, 2)} to {number(figure.high, 2)})"
    return number(figure.value) + span


# --- captions and labels


def _captions(facts: Facts) -> str:
    report = facts.captions
    if report is None:
        return "There are none in this version."
    by = ", ".join(f"{text(name)} ({n:,} clips)" for name, n in facts.captioners.items())
    rows = [
        (
            f"{PAIRED[pair.compared]} : {PAIRED[pair.against]}",
            *(number(value) for value in (pair.micro.precision, pair.micro.recall, pair.micro.f1)),
            *(number(value) for value in (pair.shuffled.f1, pair.constant.f1)),
            pair.clips,
        )
        for pair in report.pairs
        if pair.clips
    ]
    head = ("action units", "precision", "recall", "F1", "F1, shuffled", "F1, commonest unit", "clips")
    return (
        f"By {by}. A template repeats the plan: its agreement with the plan says that the words are right, not that "
        "the face does it.\n\n" + table(head, rows)
    )


def _labels(facts: Facts) -> str:
    tags = facts.tags
    if tags is None:
        return "Not measured: no tagger is recorded for this version. Labels are taken as they came."
    pairs = [(name, both, alike) for name, (both, alike) in tags.against_source.items() if both]
    lines = [
        f"Tagged {tags.tagged:,} of {tags.clips:,} clips, by " + ", ".join(text(name) for name in tags.taggers) + ".",
        f"Subjects whose clips are labelled differently: {facts.unstable:,} of {facts.subjects:,}.",
        f"Of a clip's frames, {share(tags.agreement or 0, 1)} say what the clip is labelled"
        + (f"; their ages vary by {number(tags.age_std, 1)} years." if tags.age_std is not None else "."),
        *(f"{name}: tagger and source agree in {n:,} of {both:,} clips ({share(n, both)})." for name, both, n in pairs),
        *(f"{name}: not compared, one of the two does not say it." for name in _uncompared(facts)),
    ]
    return bullets(lines) + (
        "\n\nAgreement is not truth. No person shown was asked, so the error against people's own words is not "
        "measured; audits of such classifiers find that it differs between groups. Use the labels to look for "
        "differences between perceived groups, with that error in mind; never to decide about a person."
    )


def _uncompared(facts: Facts) -> Iterator[str]:
    if facts.tags:
        yield from (name for name, (both, _) in facts.tags.against_source.items() if not both)
