"""The card of a release: numbers counted again by other means, text that cannot break it, YAML that is followed.

Oracles: plain counting over the rows, PyYAML and huggingface_hub's
own reader for the YAML, `datasets` for the configs, matplotlib's bytes twice.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from huggingface_hub import DatasetCard
from hypothesis import given, settings
from hypothesis import strategies as st
from make_workspace import make_workspace

from equime import card as front
from equime import hub, schema
from equime.publishing.about import FORM, About, Policy
from equime.publishing.documents import card, figures, markdown, terms
from equime.publishing.documents.columns import DESCRIPTIONS
from equime.publishing.documents.facts import Facts, gather
from equime.publishing.origin import Tombstone, Way

EVIL = "a|b `c` <script>alert(1)</script> [x](javascript:y) ![i](z)\n---\n# *head* \u202e {{x}} $y$ 'q' \"q\" & ~~"
WAYS = (Way("generate", 2, {"generator": "warp", "crf": 18, "warp": {"fps": 24}}, {"m": "abc123"}, {"av": "18"}, 9),)


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A layout of 7 subjects, a control, a failed and a rejected clip."""
    folder = tmp_path_factory.mktemp("card")
    names = (*schema.EMOTIONS, schema.NEUTRAL)
    table = make_workspace(folder / "ws", subjects=7, per_emotion=2, emotions=names, failed=[3], rejected=[8])
    hub.write_layout(table, folder / "out", clips_per_file=6, progress=False)
    return folder / "out"


def pieces(layout: Path) -> list[pa.Table]:
    """Its metadata, file by file, with a tagger named."""
    found = [pq.read_table(path) for path in sorted(layout.glob("metadata/*.parquet"))]
    return [put(table, "tagger", "deepface") for table in found]


def put(table: pa.Table, name: str, value: str) -> pa.Table:
    """The table with one value all down a column."""
    return table.set_column(table.schema.get_field_index(name), name, pa.array([value] * len(table)))


def sizes(layout: Path) -> dict[str, int]:
    return {p.relative_to(layout).as_posix(): p.stat().st_size for p in layout.rglob("*.parquet")}


def made(tables: list[pa.Table] | pa.Table, about: About | None = None, **changes: Any) -> Facts:
    options: dict[str, Any] = {"made": WAYS, "planned": 84, "left_out": {"failed": 1, "rejected": 1, "stale": 0}}
    options |= {"withdrawn": (), "sizes": {}}
    return gather(tables, about or About("1.1.0", date="2026-01-02"), **options | changes)


@pytest.fixture(scope="module")
def facts(layout: Path) -> Facts:
    return made(pieces(layout), sizes=sizes(layout))


def matter(text: str) -> dict[str, Any]:
    """The YAML between the fences, by PyYAML."""
    found: dict[str, Any] = yaml.safe_load(text.split("\n---\n")[0].removeprefix("---\n"))
    return found


def body(text: str) -> str:
    return text.split("\n---\n", 1)[1]


# --- the numbers


def test_counts_are_those_of_the_rows(facts: Facts, layout: Path) -> None:
    rows = [row for table in pieces(layout) for row in table.to_pylist()]
    assert (facts.clips, facts.subjects) == (len(rows), len({row["subject_id"] for row in rows})) == (82, 7)
    counted = Counter((row["split"], row["emotion"] or row["control"]) for row in rows)
    assert {(s, e): n for s, labels in facts.counts.items() for e, n in labels.items()} == dict(counted)
    people = {s: len({r["subject_id"] for r in rows if r["split"] == s}) for s in schema.SPLITS}
    assert {s: g.subjects for s, g in facts.by_split.items()} == people
    units = Counter(au for row in rows for au in {u["au"] for u in row["action_units"] or ()})
    assert facts.units == dict(sorted(units.items()))
    lengths = sorted(row["offset_ms"] - row["onset_ms"] for row in rows if row["action_units"])
    assert facts.duration_ms and facts.duration_ms.clips == len(lengths)
    assert (facts.duration_ms.least, facts.duration_ms.most) == pytest.approx((lengths[0], lengths[-1]))
    assert facts.duration_ms.mean == pytest.approx(math.fsum(lengths) / len(lengths))
    assert facts.video_bytes == sum(row["size_bytes"] for row in rows)
    assert facts.left_out == {"failed": 1, "rejected": 1}
    known = [row["amplitude"] for row in rows]
    mean, count = facts.quality["amplitude"]
    assert (mean, count) == (pytest.approx(math.fsum(known) / len(known)), len(known))
    assert "lpips_source" not in facts.quality


def test_composition_is_counted_by_person_and_by_clip(facts: Facts, layout: Path) -> None:
    rows = [row for table in pieces(layout) for row in table.to_pylist()]
    people = Counter({row["subject_id"]: row["source_race"] for row in rows}.values())
    assert facts.source and facts.tagged
    race = facts.source.balances["race"]
    assert {k: n for k, n in race.identities.items() if n} == dict(people)
    assert {k: n for k, n in race.clips.items() if n} == dict(Counter(row["source_race"] for row in rows))
    entropy = -sum(n / 7 * math.log(n / 7) for n in people.values())
    assert race.measures("identities")["evenness"] == pytest.approx(entropy / math.log(6))
    assert facts.source.balances["age"].identities["30-39"] == 7
    assert facts.tagged.balances["race"].identities == race.identities, "every clip is tagged as its source"
    assert (facts.tagged.clips, facts.unstable) == (82, 0) and facts.tags and not facts.tags.subjects
    text = body(card.render(facts))
    assert f"| race | source | 6 | {entropy / math.log(6):.3f} |" in text
    assert f"| gender | female | {people_of(rows, 'female')} |" in text


def people_of(rows: list[dict[str, Any]], gender: str) -> int:
    return len({row["subject_id"] for row in rows if row["source_gender"] == gender})


def test_pieces_and_one_table_give_the_same_facts(facts: Facts, layout: Path) -> None:
    whole = pa.concat_tables(pieces(layout))
    small = [whole.slice(start, 5) for start in range(0, len(whole), 5)]
    assert made(whole, sizes=sizes(layout)) == facts == made(small, sizes=sizes(layout))
    assert card.render(facts) == card.render(made(small, sizes=sizes(layout)))


def test_what_is_not_measured_is_said_to_be_not_measured(layout: Path) -> None:
    plan = [name for name in schema.GROUPS["plan"].names if name not in schema.UNPUBLISHED]
    bare = [table.select([n for n in plan if not n.startswith("source_")]) for table in pieces(layout)]
    found = made(bare, made=())
    assert {found.validity, found.captions, found.tags, found.source, found.tagged} == {None}
    text = body(card.render(found))
    for section in ("Quality", "Validity", "Who is shown", "Labels and their error"):
        after = text.split(f"\n## {section}")[1].split("\n## ")[0]
        assert "not measured" in after.lower(), section
    assert "How each stage was run is not recorded" in text and "| not recorded | 7 | 82 |" in text
    assert not re.search(r"\b(nan|inf|None)\b", text)


def test_without_a_row_there_is_still_a_card() -> None:
    found = made(schema.METADATA.empty_table(), planned=0, left_out={})
    assert (found.clips, found.subjects, found.counts) == (0, 0, {})
    assert "0 clips of 0 subjects" in card.render(found)


# --- what it says, and does not


def test_the_card_says_what_a_card_must(facts: Facts) -> None:
    text = body(card.render(facts))
    told = (
        *("ME-VLM", "1.1.0", "2026-01-02", "likeness of a real person", "*perceived*", "*intended*"),
        *("**re-identification**", "**real-person likeness**", "at work, in education", "**commercial use**"),
        *("CC BY-NC 4.0", "Article 5(1)(f)", "tan.peisze@monash.edu", "tan2025me-vlm", "DATASHEET.md", "CITATION.cff"),
        *("CelebA", "LTX-Video", "generator warp, crf 18", "m abc123", "1 failed, 1 rejected", *FORM),
    )
    assert [words for words in told if words not in text] == []
    assert "no correspondence to real individuals" not in text.lower()
    named = [name for name in DESCRIPTIONS if name not in schema.UNPUBLISHED]
    assert [name for name in named if f"`{name}`" not in text] == []


def test_no_subject_no_source_and_no_hash_is_in_it(layout: Path) -> None:
    rows = pa.concat_tables(pieces(layout))
    names = [f"person-{value}-zz" for value in rows["subject_id"].to_pylist()]
    rows = rows.set_column(rows.schema.get_field_index("subject_id"), "subject_id", pa.array(names))
    gone = (Tombstone("person-gone-zz", "1.1.0", "2026-01-02", 3),)
    text = card.render(made(rows, withdrawn=gone))
    assert "-zz" not in text and "faces/" not in text
    assert not set(re.findall(r"[0-9a-f]{64}", text)) and "1 subject has been taken out" in text
    found = made(rows)
    assert "-zz" not in repr(found), "facts are shared by all documents"


def test_celeba_and_ltx_bring_their_own_terms(layout: Path) -> None:
    rows = pa.concat_tables(pieces(layout))
    for name, value in (("source_licence", "CelebA agreement: no redistribution"), ("generator", "ltx")):
        rows = put(rows, name, value)
    about = About("1.1.0", permission="Letter of 3 May | signed <b>", mode="recipe", repo="lab/faces")
    text = card.render(made(rows, about))
    assert terms.CELEBA_URL in text and terms.LTX_URL in text
    assert "Letter of 3 May \\| signed &lt;b>" in text
    assert "equime rebuild lab/faces@1.1.0 --faces" in text and '"video"' not in text
    assert [config["config_name"] for config in matter(text)["configs"]] == ["metadata"]
    assert "| generate | `video` |" not in text


# --- nothing that others write breaks it


def test_hostile_text_stays_text(layout: Path) -> None:
    rows = pa.concat_tables(pieces(layout))
    for name in ("source_licence", "generator", "generator_model", "captioner", "tagger", "caption", "subject_id"):
        rows = put(rows, name, EVIL)
    ways = (Way(EVIL, 1, {EVIL: EVIL}, {EVIL: EVIL}, {}, 1),)
    policy = Policy(EVIL, {EVIL: {"type": "select", "options": [EVIL, "no", "1e3", ""]}, "no": "text"}, EVIL)
    about = About("1.1.0", note=EVIL, permission=EVIL, policy=policy)
    text = card.render(made(rows, about, made=ways, left_out={EVIL: 1}))
    assert "<script" not in body(text) and "\u202e" not in body(text)
    assert not re.search(r"(?<!\\)!?\[[xi](?<!\\)\]\(", body(text))
    lines = body(text).splitlines()
    assert "---" not in lines and sum(line.startswith("# ") for line in lines) == 1
    for block in re.findall(r"(?:^\|.*\n)+", body(text), re.MULTILINE):
        columns = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(columns) == 1, block
    read = matter(text)
    assert read["extra_gated_fields"] == policy.form and read["extra_gated_prompt"].startswith(EVIL)
    assert DatasetCard(text).data.to_dict()["extra_gated_fields"] == policy.form


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(st.text() | st.integers()) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.text(alphabet=st.characters(exclude_categories=["Cs"])), VALUES, max_size=4))
@settings(max_examples=150, deadline=None)
def test_yaml_reads_back_as_it_was_given(values: dict[str, Any]) -> None:
    text = front.front_matter({("train", "fear"): 1}, {"more": values})
    assert matter(text)["more"] == json.loads(json.dumps(values))


@given(st.text())
@settings(max_examples=150, deadline=None)
def test_escaped_text_is_one_cell_of_one_line(value: str) -> None:
    shown = markdown.text(value)
    assert len(shown.splitlines()) <= 1 and "<" not in shown
    assert not re.search(r"(?<!\\)(?:\\\\)*[|`*_\[\]]", shown)


@pytest.mark.parametrize(
    "value", ["- a", "+ a", "1. a", "1234) a", "> a", "=== a", "---", "# a", "-0.5", "2.5 dB", "~~~"]
)
def test_text_at_the_start_of_a_line_is_a_paragraph(value: str) -> None:
    parser = pytest.importorskip("markdown_it").MarkdownIt("gfm-like", {"linkify": False})
    tokens = parser.parse(f"a\n{markdown.text(value)}\n\n{markdown.text(value)}")
    assert [t.type for t in tokens] == ["paragraph_open", "inline", "paragraph_close"] * 2
    assert "".join(t.content for t in tokens[4].children or []) == value


# --- the YAML, as the Hub and `datasets` follow it


def test_the_front_matter_is_the_hubs(facts: Facts) -> None:
    found = DatasetCard(card.render(facts)).data.to_dict()
    assert (found["license"], found["language"], found["size_categories"]) == ("cc-by-nc-4.0", ["en"], ["n<1K"])
    assert found["extra_gated_fields"] == dict(FORM)
    assert found["annotations_creators"] == ["machine-generated"] and found["source_datasets"] == ["original"]
    assert [config["config_name"] for config in found["configs"]] == ["video", "emotion", "metadata"]


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("config", ["video", "emotion", "metadata"])
def test_plain_datasets_loads_what_the_card_declares(
    facts: Facts, layout: Path, tmp_path: Path, config: str, streaming: bool
) -> None:
    (layout / "README.md").write_text(card.render(facts), encoding="utf-8")
    found = datasets.load_dataset(str(layout), config, streaming=streaming, cache_dir=str(tmp_path))
    expected = {
        split: n
        for info in matter(card.render(facts))["dataset_info"]
        if info["config_name"] == config
        for split, n in ((s["name"], s["num_examples"]) for s in info["splits"])
    }
    assert {split: sum(1 for _ in rows) for split, rows in found.items()} == expected
    features = next(iter(found.values())).features
    assert features["emotion"] == datasets.ClassLabel(names=list(schema.EMOTIONS))
    assert ("video" in features) == (config != "metadata")
    plain = datasets.Features.from_arrow_schema(hub.METADATA)
    assert {n: f for n, f in features.items() if n not in ("video", "emotion")} == {
        n: f for n, f in plain.items() if n != "emotion"
    }
    row = next(iter(found[next(iter(found))]))
    assert row["emotion"] is None or schema.EMOTIONS[row["emotion"]] == row["clip_id"].split("/")[0]


def test_sizes_declared_are_those_of_the_files(facts: Facts, layout: Path) -> None:
    infos = {info["config_name"]: info for info in matter(card.render(facts))["dataset_info"]}
    data = sum(path.stat().st_size for path in layout.glob("data/*/*.parquet"))
    assert infos["video"]["download_size"] == data
    assert infos["metadata"]["splits"][0]["num_bytes"] == (layout / "metadata/train.parquet").stat().st_size


# --- the picture


def test_the_picture_is_drawn_alike_twice(facts: Facts, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from PIL import Image

    assert figures.composition(facts, tmp_path / "a.png") and figures.composition(facts, tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as image:
        assert image.format == "PNG" and image.width > 600 and len(image.convert("RGB").getcolors(1 << 20) or ()) > 3
    assert "(figures/composition.png)" in card.render(facts, {"composition": "figures/composition.png"})
    assert "composition.png" not in card.render(facts)


def test_groups_are_drawn_with_their_intervals(facts: Facts, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    drawn = figures.draw(facts, tmp_path)
    assert drawn == {"composition": "figures/composition.png", "groups": "figures/groups.png"}
    first = (tmp_path / drawn["groups"]).read_bytes()
    assert figures.by_group(facts, tmp_path / "again.png") and (tmp_path / "again.png").read_bytes() == first
    assert "(figures/groups.png)" in card.render(facts, drawn) and "groups.png" not in card.render(facts)


def test_nobody_labelled_is_no_picture(layout: Path, tmp_path: Path) -> None:
    bare = [table.select(["clip_id", "subject_id", "split", "emotion"]) for table in pieces(layout)]
    assert not figures.composition(made(bare), tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()
