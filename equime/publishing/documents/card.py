"""The card of a release: the README that the Hub shows to everybody, before access is given.

    (release / "README.md").write_text(render(facts))

It is what people cite. Every number comes from `facts.gather`; what was not measured is said to be not measured. There
is no picture of a face in it, no subject's id, no source and no source's hash. What others wrote (licences, options,
names) is escaped for Markdown and YAML.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from equime import card, schema
from equime.action_units import NAMES
from equime.planning.equity_report import Balance, Equity
from equime.publishing.about import Way
from equime.publishing.documents import citation, columns, measured, terms
from equime.publishing.documents.facts import Facts, Group, Spread
from equime.publishing.documents.markdown import NOT_SAID, bullets, number, share, table, text
from equime.wording import counted

SIDES: Final[Mapping[str, str]] = {"L": "left", "R": "right", "B": "both", "U": "unsaid"}
NO_LABEL: Final = "no label"
_NAMED: Final = {"joint": "cell"}
_FLOATS: Final = {"float": "float32", "double": "float64"}


def render(facts: Facts, picture: str | None = None) -> str:
    """The card's text.

    Args:
        facts: What was counted and measured.
        picture: Path in the release of the drawing of its composition; None where it was not drawn.
    """
    found = [_front_matter(facts), *_sections(facts, picture)]
    return "\n\n".join(section.strip("\n") for section in found) + "\n"


def _front_matter(facts: Facts) -> str:
    more = {
        "language": ["en"],
        "license": "cc-by-nc-4.0",
        "annotations_creators": ["machine-generated"],
        "source_datasets": ["extended|other-celeba" if terms.is_celeba(facts) else "original"],
        **terms.gate(facts),
    }
    counts = {(split, label): n for split, labels in facts.counts.items() for label, n in labels.items()}
    return card.front_matter(counts, more, sizes=facts.sizes or None, recipe=facts.about.mode == "recipe")


def _sections(facts: Facts, picture: str | None) -> Iterator[str]:
    yield _opening(facts)
    yield "## Contents\n\n" + _contents(facts)
    yield _rebuild(facts) if facts.about.mode == "recipe" else _load(facts)
    yield "## How it was made\n\n" + _making(facts)
    yield "## Who is shown\n\n" + _composition(facts, picture)
    yield "## Expressions\n\n" + _expressions(facts)
    yield from measured.sections(facts)
    yield from terms.sections(facts)
    yield "## Columns\n\n" + _columns(facts)
    yield "## Version and files\n\n" + _version(facts)
    yield f"## Citation\n\n```bibtex\n{citation.bibtex(facts.about).strip()}\n```"


def _opening(facts: Facts) -> str:
    about = facts.about
    held = "" if about.mode == "clips" else " (a recipe: no faces)"
    return f"""# EquiME

Synthetic micro-expression video; also known as ME-VLM, after its publication. Version \
{about.version} of {about.date}{held}: {facts.clips:,} clips of {counted(facts.subjects, "subject")}.

**Every clip is synthetic, and every face is the likeness of a real person.** A generator animated photographs: nobody \
made these expressions. `emotion` is the *intended* programme of facial action units, not a felt emotion. Gender, age \
and race are *perceived*, by whoever labelled the photographs or by a classifier, and never a person's own word."""


def _contents(facts: Facts) -> str:
    counts = {(split, label): n for split, labels in facts.counts.items() for label, n in labels.items()}
    out = ", ".join(f"{n:,} {text(why)}" for why, n in facts.left_out.items())
    people = ", ".join(f"{split} {group.subjects:,}" for split, group in facts.by_split.items())
    designs = ", ".join(f"{text(name)} {n:,}" for name, n in facts.designs.items())
    formats = "; ".join(f"{text(name)} ({n:,})" for name, n in facts.formats.items())
    return "\n\n".join(
        [
            card.count_table(counts),
            bullets(
                [
                    f"Of {facts.planned:,} planned clips {facts.clips:,} are released "
                    f"({share(facts.clips, facts.planned)})" + (f"; left out: {out}." if out else "."),
                    f"Splits share no subject. Subjects: {people}.",
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

`video` holds every column and the clips' bytes (MP4, H.264); `emotion` the same, a split for each emotion over all \
splits; `metadata` every column but the bytes. Access is needed (below), then `hf auth login`. `pip install equime` \
brings a loader that mixes emotions evenly and decodes the frames you ask for; \
`equime verify {repo}@{version}` compares every file with `manifest.json`."""


def _rebuild(facts: Facts) -> str:
    repo, version, split = facts.about.repo, facts.about.version, next(iter(facts.counts), schema.SPLITS[0])
    return f"""## Rebuild and load

This release is a recipe: plan, captions, tags, scores and the hash of every clip, and no faces, because the source \
pictures may not be handed on. Who holds the pictures makes the clips from them:

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
        "All options and package versions, exactly, are in `manifest.json`. Where the photographs come from and "
        "their hashes are not published; subject ids are pseudonyms where those of the source are identities. Their "
        "licences, as recorded:",
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


# --- who is shown


def _composition(facts: Facts, picture: str | None) -> str:
    parts = [f"![Subjects and clips by perceived group]({picture})"] if picture else []
    ways = {"source": facts.source, "tagger": facts.tagged}
    known = {name: equity for name, equity in ways.items() if equity}
    if not known:
        return "Composition by group is not measured: no source came with labels and no tagger is recorded."
    parts.append(
        "Perceived labels, which err (see Labels and their error). *Source*: as the photographs came labelled. "
        "*Tagger*: a classifier's, one vote over a subject's clips."
    )
    heads = [f"{what} ({name})" for name in known for what in ("subjects", "clips")]
    attributes = ("race", "gender", "age")
    rows = [row for attribute in attributes for row in _group_rows(attribute, list(known.values()))]
    parts.append(table(("perceived", "group", *heads), rows))
    parts.append(
        "Evenness is Shannon's, 0 to 1; effective groups are the equally common groups that would be as diverse. "
        "A *cell* is gender by age band by race."
    )
    head = (
        "perceived",
        "by",
        "groups",
        "evenness, subjects",
        "evenness, clips",
        "effective, subjects",
        "commonest : rarest",
    )
    parts.append(table(head, [row for name, equity in known.items() for row in _evenness_rows(name, equity)]))
    parts += _skin(facts.skin)
    return "\n\n".join(parts)


def _group_rows(attribute: str, found: Sequence[Equity]) -> Iterator[tuple[Any, ...]]:
    balances = [equity.balances[attribute] for equity in found]
    for group in balances[0].shares:
        yield attribute, group, *(n for b in balances for n in _group(b, group))
    rest = [n for e, b in zip(found, balances, strict=True) for n in (b.unlabelled, e.clips - sum(b.clips.values()))]
    if any(rest):
        yield attribute, NO_LABEL, *rest


def _group(balance: Balance, group: str) -> tuple[Any, Any]:
    """Subjects and clips; dashes where nobody has a label, which is not the same as nobody being in the group."""
    known = any(balance.identities.values())
    return (balance.identities[group], balance.clips[group]) if known else (NOT_SAID, NOT_SAID)


def _evenness_rows(name: str, equity: Equity) -> Iterator[tuple[Any, ...]]:
    for attribute, balance in equity.balances.items():
        people, clips = balance.measures("identities"), balance.measures("clips")
        if not sum(balance.identities.values()):
            yield _NAMED.get(attribute, attribute), name, len(balance.shares), *["not measured"] * 4
            continue
        yield (
            _NAMED.get(attribute, attribute),
            name,
            len(balance.shares),
            number(people["evenness"]),
            number(clips["evenness"]),
            number(people["effective_groups"], 1),
            number(people["max_min_ratio"], 1) if min(balance.identities.values()) else "a group is missing",
        )


def _skin(bands: Mapping[str, Group]) -> Iterator[str]:
    if bands:
        rows = [(name, group.subjects, group.clips) for name, group in bands.items()]
        yield "Skin as pictured, by the individual typology angle; light and camera shift it:"
        yield table(("band", "subjects", "clips"), rows)
    else:
        yield "Tone of skin is not measured."


# --- what they do


def _expressions(facts: Facts) -> str:
    if not facts.units:
        return "No clip has a planned expression."
    letters = ", ".join(f"{name} {n:,}" for name, n in facts.intensities.items())
    sides = ", ".join(f"{SIDES[side]} {n:,}" for side, n in facts.sides.items())
    rows = [(f"AU{au}", NAMES.get(au, "not named"), n) for au, n in facts.units.items()]
    lines = [
        f"Intensity of the strongest unit (A faint to E strongest), clips: {letters}.",
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
        (group, f"`{name}`", _kind(schema.CLIPS.field(name).type), columns.DESCRIPTIONS[name].replace("|", "\\|"))
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
        f"Version {about.version} of {about.date}, schema version {schema.VERSION}. The tag `{about.version}` stays as "
        "it is: name it as `revision`. Major versions change or remove columns or rows, minor ones add or remake, "
        "patches take out what is wrong.",
        *([f"What it brings: {text(about.note)}"] if about.note else []),
        f"Data files: {len(facts.sizes):,}, {total:,} bytes." if total else "Sizes of files are in `manifest.json`.",
        "`CHANGELOG.md`: what changed. `DATASHEET.md`: motivation, composition, collection, uses, maintenance. "
        "`croissant.json`: the same for machines (Croissant, with RAI). `CITATION.cff`: how to cite. `manifest.json`: "
        "every file and clip by SHA-256, all options, models and package versions.",
    ]
    return bullets(lines)
