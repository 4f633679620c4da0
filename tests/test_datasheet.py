"""Datasheet, citation and the columns' descriptions: complete, from counted numbers, and not to be broken by data."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from make_workspace import make_workspace

from equime import hub, schema
from equime.planning.targets import evenness
from equime.publishing.about import About, Policy
from equime.publishing.documents import citation, columns, datasheet, facts, statements
from equime.publishing.documents.facts import Facts, Group
from equime.publishing.origin import Tombstone, Way
from equime.publishing.recipes import recipe

ABOUT = About("1.1.0", "some-org/equime", date="2026-11-23")
MADE = (
    Way("generate", 2, {"crf": 18}, {"Lightricks/LTX-Video": "0123abc"}, {"av": "18.0"}, 3),
    Way("caption", 3, {}, {}, {}, 1),
)
SECTIONS = (
    *("Motivation", "Composition", "Collection process", "Preprocessing, cleaning, labelling"),
    *("Uses", "Distribution", "Maintenance", "Columns"),
)
"""Gebru et al.'s, and the columns."""
HOSTILE = (
    "x | <script>alert(1)</script>\n\n---\n# big\n[go](https://evil.example) ![i](x.png) `r` **b** <img src=x> $a$"
)


def gathered(folder: Path, about: About = ABOUT) -> Facts:
    tables = [pq.read_table(path) for path in sorted((folder / "metadata").glob("*.parquet"))]
    gone = [Tombstone("9999", "1.0.1", "2026-11-20", 5)]
    left_out = {"rejected": 2}
    return facts.gather(tables, about, made=MADE, planned=17, left_out=left_out, withdrawn=gone, sizes={})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("datasheet")
    table = make_workspace(root / "ws", subjects=3, rejected=[4, 7])
    hub.write_layout(table, root / "out", progress=False)
    return root / "out"


@pytest.fixture(scope="module")
def told(folder: Path) -> Facts:
    return gathered(folder)


# --- columns


def test_every_published_column_is_described_and_no_other() -> None:
    published = [name for name in schema.CLIPS.names if name not in schema.UNPUBLISHED]
    assert set(columns.DESCRIPTIONS) == set(published)
    assert sorted(name for _, names in columns.groups() for name in names) == sorted(published)
    assert set(columns.RECIPE) == set(recipe.COLUMNS.names)


def test_descriptions_are_sentences_that_may_stand_in_a_table_of_markdown() -> None:
    for name, text in {**columns.DESCRIPTIONS, **columns.RECIPE}.items():
        assert text.endswith("."), name
        bare = re.sub(r"`[^`]*`", "", text)
        assert not re.search(r"[|<>*#\[\]`]|\n|_[a-z]", bare), name
        assert "  " not in text, name


@pytest.mark.parametrize(
    ("ending", "unit"),
    [
        ("_ms", "ms"),
        ("_px", "pixels"),
        ("_s", "seconds"),
        ("_bytes", "bytes"),
        ("_kbps", "kilobits"),
        ("_probs", "0 to 1"),
    ],
)
def test_descriptions_say_the_unit_that_the_name_says(ending: str, unit: str) -> None:
    found = [name for name in columns.DESCRIPTIONS if name.endswith(ending)]
    assert found
    assert not [name for name in found if unit not in columns.DESCRIPTIONS[name]]


def test_demographic_columns_are_said_to_be_perceived_and_emotions_intended() -> None:
    assert all("Perceived" in columns.DESCRIPTIONS[name] for name in schema.PERCEIVED)
    assert "intended" in columns.DESCRIPTIONS["emotion"]


@pytest.mark.parametrize("name", ["source_gender", "source_age", "emotion", "control", "design", "split", "gender"])
def test_a_labelled_column_names_its_labels(name: str) -> None:
    assert not [label for label in columns.LABELLED[name] if label not in columns.DESCRIPTIONS[name]]


# --- citation


def test_the_publication_is_cited_as_its_authors_ask_and_placeholders_are_left_out() -> None:
    article, version = citation.bibtex(ABOUT).split("\n\n")
    assert article.startswith("@article{tan2025me-vlm,\n")
    assert "{{ME-VLM: A Visual-Language Model for Micro-expression Synthesis and Classification}}" in article
    wanted = "Tan, Pei-Sze and Tan, Yee-Fan and Rajanala, Sailaja and Phan, Raphael C.-W. and Ong, Huey-Fang"
    assert f"author = {{{wanted}}}" in article
    assert "version = {1.1.0}" in version
    assert "https://huggingface.co/datasets/some-org/equime/tree/1.1.0" in version
    assert not re.search(r"xxxx|doi\b|\beprint", citation.bibtex(ABOUT) + citation.cff(ABOUT))
    assert all(entry.count("{") == entry.count("}") for entry in (article, version))


def test_citation_cff_reads_as_yaml_and_holds_what_its_format_asks_for() -> None:
    found: dict[str, Any] = yaml.safe_load(citation.cff(ABOUT))
    assert {"cff-version", "message", "title", "authors"} <= set(found)
    assert (found["cff-version"], found["type"], found["license"]) == ("1.2.0", "dataset", "CC-BY-NC-4.0")
    assert (found["version"], found["date-released"]) == ("1.1.0", "2026-11-23")
    assert "ME-VLM" in found["title"]
    paper = found["preferred-citation"]
    assert [author["family-names"] for author in paper["authors"]] == ["Tan", "Tan", "Rajanala", "Phan", "Ong"]
    assert "tan2025me-vlm" in paper["notes"]


@pytest.mark.parametrize("version", ["1.0.0", "10.20.30"])
def test_a_version_stays_text_in_citation_cff(version: str) -> None:
    found = yaml.safe_load(citation.cff(replace(ABOUT, version=version, repo="on/no", date="2026-01-02")))
    assert (found["version"], found["date-released"], found["authors"]) == (version, "2026-01-02", [{"name": "on"}])


def test_a_contact_that_is_no_address_is_left_out_of_citation_cff() -> None:
    found = yaml.safe_load(citation.cff(replace(ABOUT, policy=Policy(contact="the data office"))))
    assert found["contact"] == [{"name": "some-org"}]


# --- datasheet


def test_the_datasheet_has_every_section_and_no_empty_answer(told: Facts) -> None:
    text = datasheet.render(told)
    assert tuple(re.findall(r"^## (.*)$", text, re.M)) == SECTIONS
    questions = re.findall(r"^\*\*(.+\?)\*\*\n\n(.+)$", text, re.M)
    assert len(questions) == text.count("?**") > 35
    assert len({question for question, _ in questions}) == len(questions)
    assert not re.search(r"\b(nan|inf|None)\b(?! is| by)", text)


def test_the_datasheet_counts_what_the_rows_hold(told: Facts, folder: Path) -> None:
    text = datasheet.render(told)
    rows = [row for path in (folder / "metadata").iterdir() for row in pq.read_table(path).to_pylist()]
    races = {row["subject_id"]: row["source_race"] for row in rows}
    even = evenness({race: list(races.values()).count(race) for race in schema.RACES}, schema.RACES)
    for wanted in (
        f"{len(rows)} clips of {len(races)} subjects",
        "17 clips planned; left out: rejected 2.",
        f"Of {len(rows)} clips with a score 100.0% passed every gate.",
        f"by the labels of the source pictures: evenness {even:.3f} over subjects",
        f"CC0: {len(rows)} clips of 3 subjects",
        "generate, version 2, 3 shards; models: Lightricks/LTX-Video 0123abc; with av 18.0",
        "Subjects taken out on request so far: 1.",
        "tan.peisze@monash.edu",
    ):
        assert wanted in text, wanted


def test_the_datasheet_lists_the_columns_that_hold_something(told: Facts) -> None:
    listed = re.findall(r"^- `(\w+)`: ", datasheet.render(told), re.M)
    assert sorted(listed) == sorted(told.columns)


def test_the_datasheet_says_what_was_not_measured(tmp_path: Path) -> None:
    table = make_workspace(tmp_path / "ws", groups=["plan", "generate"], emotions=["neutral"])
    hub.write_layout(table, tmp_path / "out", progress=False)
    text = datasheet.render(gathered(tmp_path / "out"))
    for wanted in (
        "Whether clips are valid micro-expressions was not measured.",
        "how sure they are: not measured.",
        "(clips that have it): not measured.",
        "Captions: none.",
        "Planned duration: none planned",
        "(individual typology angle): not measured.",
    ):
        assert wanted in text, wanted


def test_a_subject_in_two_splits_is_not_passed_over(told: Facts) -> None:
    assert statements.scope(told).endswith("; no subject is in two.")
    leaking = replace(told, by_split={"train": Group(3, 7), "test": Group(1, 6)})
    assert statements.scope(leaking).endswith("; 1 subject in more than one.")
    text = datasheet.render(leaking)
    assert "no subject is in two" not in text


def test_a_recipe_says_that_it_has_no_pictures(told: Facts) -> None:
    text = datasheet.render(replace(told, about=replace(ABOUT, mode="recipe")))
    assert "no pictures" in text
    assert "are made again from the source pictures" in text


def test_neither_ids_nor_sources_are_named(told: Facts, folder: Path) -> None:
    text = datasheet.render(told)
    ids = [clip for path in (folder / "metadata").iterdir() for clip in pq.read_table(path)["clip_id"].to_pylist()]
    assert not [secret for secret in (*ids, "faces/", "9999", "source_sha256") if secret in text]


def test_what_comes_from_data_and_options_is_shown_and_not_read(told: Facts) -> None:
    markdown_it = pytest.importorskip("markdown_it")
    about = replace(ABOUT, permission=HOSTILE, policy=Policy(terms=HOSTILE, form={HOSTILE: "text"}))
    names = {HOSTILE: 3}
    hostile = replace(
        told,
        about=about,
        made=(Way("tag", 1, {}, {HOSTILE: HOSTILE}, {HOSTILE: "1"}, 1),),
        licences={HOSTILE: Group(1, 2)},
        **{field: names for field in ("generators", "captioners", "formats", "designs")},
    )
    html = markdown_it.MarkdownIt("commonmark").render(datasheet.render(hostile))
    plain = markdown_it.MarkdownIt("commonmark").render(datasheet.render(told))
    tags = re.findall(r"<(/?\w+)", html)
    assert not {"script", "img", "a", "hr"} & set(tags)
    # The same markup as with harmless names: nothing became bold, code, a heading or a list.
    assert all(tags.count(tag) == re.findall(r"<(/?\w+)", plain).count(tag) for tag in ("strong", "code", "h1", "h2"))
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html


def test_the_same_facts_give_the_same_bytes(told: Facts, folder: Path) -> None:
    assert datasheet.render(gathered(folder)) == datasheet.render(told)
