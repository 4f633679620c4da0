"""The card of a release: the README that the Hub shows to everybody, before access is given.

    (release / "README.md").write_text(render(facts))

It is what people cite. Every number comes from `facts.gather`; what was not measured is said to be not measured. There
is no picture of a face in it, no subject's id, no source and no source's hash. What others wrote (licences, options,
names) is escaped for Markdown and YAML.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

import pyarrow as pa

from equime import card, schema
from equime.action_units import NAMES
from equime.publishing.about import LICENCE
from equime.publishing.documents import citation, columns, composition, measured, statements, terms
from equime.publishing.documents.facts import Facts, Spread
from equime.publishing.documents.markdown import bullets, many, number, share, table, text
from equime.publishing.origin import Way
from equime.wording import counted

SIDES: Final[Mapping[str, str]] = {"L": "left", "R": "right", "B": "both", "U": "unsaid"}
_FLOATS: Final = {"float": "float32", "double": "float64"}


def render(facts: Facts, pictures: Mapping[str, str] = MappingProxyType({})) -> str:
    """The card's text.

    Args:
        facts: What was counted and measured.
        pictures: What was drawn, from `figures.draw`.
    """
    found = [_front_matter(facts), *_sections(facts, pictures)]
    return "\n\n".join(section.strip("\n") for section in found) + "\n"


def _front_matter(facts: Facts) -> str:
    more = {
        "language": ["en"],
        "license": LICENCE,
        "annotations_creators": ["machine-generated"],
        "source_datasets": ["extended|other-celeba" if terms.is_celeba(facts) else "original"],
        **terms.gate(facts),
    }
    return card.front_matter(_counts(facts), more, sizes=facts.sizes or None, recipe=facts.about.mode == "recipe")


def _counts(facts: Facts) -> dict[tuple[str, str], int]:
    return {(split, label): n for split, labels in facts.counts.items() for label, n in labels.items()}


def _sections(facts: Facts, pictures: Mapping[str, str]) -> Iterator[str]:
    yield _opening(facts)
    yield "## Contents\n\n" + _contents(facts)
    yield _rebuild(facts) if facts.about.mode == "recipe" else _load(facts)
    yield "## How it was made\n\n" + _making(facts)
    yield "## Who is shown\n\n" + composition.section(facts, pictures.get("composition"))
    yield "## Expressions\n\n" + _expressions(facts)
    yield from measured.sections(facts, pictures.get("groups"))
    yield from terms.sections(facts)
    yield "## Columns\n\n" + _columns(facts)
    yield "## Version and files\n\n" + _version(facts)
    yield f"## Citation\n\n```bibtex\n{citation.bibtex(facts.about).strip()}\n```"


def _opening(facts: Facts) -> str:
    about = facts.about
    held = "" if about.mode == "clips" else " (a recipe: no faces)"
    return f"""# EquiME

Synthetic micro-expression video; also known as ME-VLM, after its publication. Version \
{about.version} of {about.date}{held}: {many(facts.clips, "clip")} of {many(facts.subjects, "subject")}.

**Every clip is synthetic, and every face is the likeness of a real person.** A generator animated photographs: nobody \
made these expressions. `emotion` is the *intended* programme of facial action units, not a felt emotion. Gender, age \
and race are *perceived*, by whoever labelled the photographs or by a classifier, and never a person's own word."""


def _contents(facts: Facts) -> str:
    out = ", ".join(f"{n:,} {text(why)}" for why, n in facts.left_out.items())
    designs = ", ".join(f"{text(name)} {n:,}" for name, n in facts.designs.items())
    formats = "; ".join(f"{text(name)} ({n:,})" for name, n in facts.formats.items())
    return "\n\n".join(
        [
            card.count_table(_counts(facts)),
            bullets(
                [
                    f"Of {facts.planned:,} planned clips {facts.clips:,} are released "
                    f"({share(facts.clips, facts.planned)})" + (f"; left out: {out}." if out else "."),
                    statements.scope(facts),
                    f"Planned as: {designs}." + (f" Clips of matched pairs: {facts.twins:,}." if facts.twins else ""),
                    f"Format (clips): {formats}; {facts.video_bytes:,} bytes of video."
                    if formats
                    else "No clips made.",
                    "Controls (a neutral face, an expression too long to be micro, a blink) have a null `emotion`.",
                ]
            ),
        ]
    )


def _load(facts: Facts) -> str:
    repo, version, split = facts.about.repo, facts.about.version, next(iter(facts.counts), schema.SPLITS[0])
    return f"""## Load

```python
from datasets import load_dataset

clips = load_dataset("{repo}", "video", split="{split}", streaming=True, revision="{version}")
clips = clips.shuffle(buffer_size=512)  # files turn round the emotions
table = load_dataset("{repo}", "metadata", split="{split}", revision="{version}")
```

`video` holds every column and the clips' bytes (MP4, H.264); `emotion` the same, a split for each emotion, over all \
of train, validation and test (the column `split` tells them apart); `metadata` every column but the bytes. Access is \
needed (below), then `hf auth login`. `pip install equime` brings a loader that mixes emotions evenly and decodes the \
frames you ask for; `equime verify {repo}@{version}` compares every file with `manifest.json`."""


def _rebuild(facts: Facts) -> str:
    repo, version, split = facts.about.repo, facts.about.version, next(iter(facts.counts), schema.SPLITS[0])
    return f"""## Rebuild and load

This release is a recipe: plan, captions, tags, scores and the hash of every clip, and no faces. Who holds the source \
pictures makes the clips from them:

```bash
equime rebuild {repo}@{version} --faces PICTURES --out WORKSPACE
```

Pictures are recognised by keyed hashes. Each clip made is compared with the hash recorded here; on another machine, \
where bytes may differ, by the tolerances that the command prints. Without the pictures:

```python
from datasets import load_dataset

table = load_dataset("{repo}", "metadata", split="{split}", revision="{version}")
```"""


# --- how it was made


def _making(facts: Facts) -> str:
    named = ", ".join(f"{text(name)} ({n:,} clips)" for name, n in facts.generators.items()) or "not recorded"
    licences = [(text(name), group.subjects, group.clips) for name, group in facts.licences.items()]
    parts = [
        "A generator animates a photograph by a planned programme of action units, from onset to offset; "
        "what annotates the clips is named below. Generator: " + named + ".",
        table(("stage", "options", "models", "shards"), [_way(way) for way in facts.made])
        if facts.made
        else "How each stage was run is not recorded.",
        f"All options and package versions, exactly, are in `manifest.json`. {statements.sources(facts)} "
        f"{statements.subject_ids(facts)} Licences of the pictures, as recorded:",
        table(("licence of the source picture", "subjects", "clips"), licences),
    ]
    return "\n\n".join(parts)


def _way(way: Way) -> tuple[Any, ...]:
    options = ", ".join(_option(name, value) for name, value in way.fields.items())
    models = ", ".join(f"{text(name)} {text(revision)}" for name, revision in way.models.items())
    return f"{text(way.stage)} (version {way.version})", options or "none", models or "none", way.shards


def _option(name: str, value: Any) -> str:
    if isinstance(value, (Mapping, list, tuple)):
        return f"{text(name)}: {counted(len(value), 'value')}"
    return f"{text(name)} {text('not set' if value in (None, '') else value)}"


# --- what they do


def _expressions(facts: Facts) -> str:
    if not facts.units:
        return "No clip has a planned expression."
    letters = ", ".join(f"{name} {n:,}" for name, n in facts.intensities.items())
    sides = ", ".join(f"{SIDES[side]} {n:,}" for side, n in facts.sides.items())
    rows = [(f"AU{au}", NAMES.get(au, "not named"), n) for au, n in facts.units.items()]
    lines = [
        f"Intensity of the strongest unit (A trace to E maximum), clips: {letters}.",
        f"Side of the units (the subject's own left and right), units: {sides}.",
        f"Planned duration, onset to offset: {_spread(facts.duration_ms)}.",
        f"Planned onset to apex: {_spread(facts.rise_ms)}.",
    ]
    return bullets(lines) + "\n\n" + table(("action unit", "name", "clips that plan it"), rows)


def _spread(found: Spread | None) -> str:
    if found is None:
        return "not recorded"
    ends = f"{number(found.least, 0)} to {number(found.most, 0)} ms"
    return f"{ends}, median {number(found.median, 0)}, mean {number(found.mean, 0)} ({found.clips:,} clips)"


# --- columns, version


def _columns(facts: Facts) -> str:
    there = set(facts.columns)
    named = [(group, name) for group, names in columns.groups() for name in names]
    rows = [
        (group, f"`{name}`", _kind(schema.CLIPS.field(name).type), columns.DESCRIPTIONS[name])
        for group, name in named
        if name in there
    ]
    empty = ", ".join(f"`{name}`" for _, name in named if name not in there)
    return table(("group", "column", "type", "holds"), rows) + (
        f"\n\nThere too, null in every row of this version: {empty}." if empty else ""
    )


def _kind(of: pa.DataType) -> str:
    if pa.types.is_list(of):
        return f"list of {_kind(of.value_type)}"
    if pa.types.is_struct(of):
        return "struct of " + ", ".join(child.name for child in of)
    return _FLOATS.get(str(of), str(of))


def _version(facts: Facts) -> str:
    about = facts.about
    total = sum(facts.sizes.values())
    lines = [
        f"Version {about.version} of {about.date}, schema version {schema.VERSION}. The tag `{about.version}` names it "
        "for good, unless a person is taken out: give it as `revision`. Major versions change or remove columns or "
        "rows, minor ones add or remake, patches take out what is wrong.",
        *([f"What it brings: {text(about.note)}"] if about.note else []),
        f"Data files: {len(facts.sizes):,}, {total:,} bytes." if total else "Sizes of files are in `manifest.json`.",
        "`CHANGELOG.md`: what changed. `DATASHEET.md`: motivation, composition, collection, uses, maintenance. "
        "`croissant.json`: the same for machines (Croissant, with RAI). `CITATION.cff`: how to cite. `manifest.json`: "
        "every file and clip by SHA-256, all options, models and package versions.",
    ]
    return bullets(lines)
