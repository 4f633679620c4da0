"""The datasheet of a release: the questions of Gebru et al. (2021), answered from its numbers.

    Path("DATASHEET.md").write_text(render(facts))

Gebru et al., "Datasheets for Datasets", Communications of the ACM 64(12), 2021; the questions are in our words. What
was not measured is said to be not measured; what only the publisher knows is said to be theirs to tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from equime.publishing.documents import citation, statements, terms
from equime.publishing.documents.columns import DESCRIPTIONS, groups
from equime.publishing.documents.facts import Facts
from equime.publishing.documents.markdown import bullets, text

Answers = Iterator[tuple[str, Sequence[str]]]
"""A question, and its answer in plain sentences: one a paragraph, several a list."""

_STAGES: Final = {"plan": "Plan", "generate": "Clip", "caption": "Caption", "tag": "Perceived labels", "score": "Score"}


def render(facts: Facts) -> str:
    """The file's text, Markdown. Nothing in it that comes from data or options is read as Markdown or HTML."""
    sections = {
        "Motivation": _motivation(facts),
        "Composition": _composition(facts),
        "Collection process": _collection(facts),
        "Preprocessing, cleaning, labelling": _labelling(facts),
        "Uses": _uses(facts),
        "Distribution": _distribution(facts),
        "Maintenance": _maintenance(facts),
    }
    about = facts.about
    title = f"# Datasheet: {citation.NAME} ({citation.ALIAS}) {about.version}"
    intro = f"Of {about.repo}, {about.date}. Every number here was counted or measured, none is written by hand."
    parts = [title, text(intro)]
    for name, answers in sections.items():
        parts += [f"## {name}", *(f"**{question}**\n\n{_answer(told)}" for question, told in answers)]
    return "\n\n".join([*parts, "## Columns", *_columns(facts)]) + "\n"


def _answer(told: Sequence[str]) -> str:
    return bullets(map(text, told)) if len(told) > 1 else text(told[0])


def _motivation(facts: Facts) -> Answers:
    authors = ", ".join(f"{given} {family}" for family, given in citation.AUTHORS)
    yield "For what purpose was the data set made?", [statements.PURPOSE]
    yield (
        "Who made and funded it?",
        [
            f"This release is published by {citation.owner(facts.about)}. The data set was introduced in: "
            f"{citation.TITLE} ({citation.YEAR}), by {authors}. Who funded it is theirs to tell."
        ],
    )


def _composition(facts: Facts) -> Answers:
    yield "What do the instances stand for?", [statements.what(facts)]
    yield "How many are there?", [statements.scope(facts), statements.emotions(facts)]
    yield "Is it all, or a sample?", [statements.left_out(facts), *statements.acceptance(facts)]
    yield "What does each consist of?", [*statements.pixels(facts), *statements.programme(facts)]
    yield "Is there a label or target?", [statements.INTENDED]
    yield "Is anything missing?", [_missing(facts)]
    yield (
        "Are relations between instances explicit?",
        [
            "Yes: subject_id says whose likeness a clip is, twin_id joins matched pairs, noise_key the clips with the "
            "same random draws."
        ],
    )
    yield (
        "Are there recommended splits?",
        ["The column split: whole subjects, stratified by perceived group unless it was imported."],
    )
    yield "Are there errors, noise or redundancies?", statements.validity(facts)
    yield "Does it depend on anything outside of it?", [_outside(facts)]
    yield (
        "Does it relate to people, and does it identify groups?",
        [
            statements.LIKENESSES,
            statements.PERCEIVED,
            *statements.composition(facts),
        ],
    )
    yield (
        "Can people be identified from it?",
        [
            f"From a clip's pixels, by whoever knows the face. {statements.subject_ids(facts)} "
            f"{statements.sources(facts)} Trying to identify anyone breaks the access terms."
        ],
    )
    yield "Is anything in it sensitive?", statements.SENSITIVE


def _missing(facts: Facts) -> str:
    absent = len(set(DESCRIPTIONS) - set(facts.columns))
    return (
        f"Of {len(DESCRIPTIONS)} columns {absent} hold no value in this version; those that do are listed at the end. "
        "A null is a value that was not planned, not made or could not be measured: nothing is imputed."
    )


def _outside(facts: Facts) -> str:
    if facts.about.mode == "recipe":
        return "Yes: the clips are made again from the source pictures by `equime rebuild`, by whoever holds these."
    return "No: clips and columns are in the Parquet files."


def _collection(facts: Facts) -> Answers:
    yield (
        "How was the data acquired?",
        [
            "Made, not recorded: each clip was animated from one still picture by a plan drawn from a causal model of "
            "action units, sides, intensities and times.",
            *statements.pixels(facts)[:1],
        ],
    )
    yield "Under which licences were the source pictures?", statements.licences(facts) or ["No clip."]
    yield (
        "How was it sampled?",
        [
            "Subjects are chosen for balance over perceived gender, age and race; emotions and faces are independent "
            "by design. How even it became stands under Composition."
        ],
    )
    yield (
        "Did the people shown consent, and can they revoke it?",
        [
            "This release records no consent beyond the licences of the source pictures.",
            statements.permission(facts),
            terms.removal(facts.about),
        ],
    )
    yield "Was there an ethical review?", ["Not recorded here; ask the publisher."]


def _labelling(facts: Facts) -> Answers:
    yield "What was done to the data, and by what?", statements.stages(facts)
    yield "How were the captions made?", statements.captions(facts)
    yield "How sure are the perceived labels?", statements.labels(facts)
    yield "How good are the pictures?", [statements.quality(facts)]
    yield "Is the software available?", ["Yes: the Python package equime; every stage above is one of its commands."]


def _uses(facts: Facts) -> Answers:
    yield "What is it for?", statements.USES
    yield "What should it not be used for?", statements.OUT_OF_SCOPE
    yield "What limits what can be concluded from it?", [*statements.LIMITATIONS, statements.PERCEIVED]
    yield "What does the law say?", [terms.LAW]
    yield "What has it been used for?", [f"See what cites {citation.KEY}."]


def _distribution(facts: Facts) -> Answers:
    policy = facts.about.policy
    yield (
        "How is it distributed?",
        [
            f"Gated, on the Hugging Face Hub, as {facts.about.repo}; who asks tells: {', '.join(policy.form)}.",
            f"Requests are decided by {policy.contact}.",
        ],
    )
    yield (
        "Under which licence and terms?",
        [
            f"CC BY-NC 4.0 ({terms.LICENCE_URL}), and the access terms, which are stricter: {policy.terms}",
            "The terms of the source pictures and of the models that made the clips hold beside them.",
        ],
    )
    yield "How is it cited?", ["As CITATION.cff says."]


def _maintenance(facts: Facts) -> Answers:
    yield "Who keeps it?", [f"{citation.owner(facts.about)}; write to {facts.about.policy.contact}."]
    yield "Will it be updated, and do older versions stay?", [statements.versions(facts)]
    yield (
        "How are errors reported and people removed?",
        [
            terms.removal(facts.about),
        ],
    )
    yield (
        "Can others extend it?",
        [
            "With the package: it adds subjects to a workspace and changes no earlier row; a version of one's own is "
            "published under another name."
        ],
    )


def _columns(facts: Facts) -> Iterator[str]:
    for group, names in groups():
        lines = [f"- `{name}`: {DESCRIPTIONS[name]}" for name in names if name in facts.columns]
        if lines:
            yield f"### {_STAGES[group]}\n\n" + "\n".join(lines)
