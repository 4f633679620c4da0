"""What a release keeps of its workspace and of its maker: who was accepted, the form in its order, over withdrawals."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hub_server import Hub
from make_workspace import Row, add_rows, make_row, make_workspace
from publishing import equime

from equime import schema
from equime.errors import EquimeError
from equime.metrics import wilson
from equime.publishing.about import About, Policy, today
from equime.publishing.manifest import FileEntry, Manifest
from equime.publishing.origin import Accepted
from equime.publishing.releasing import origins, release
from equime.table import Table

REPO = "you/equime"
FORM = {"Why": "text", "Institution": "text", "Agreed": "checkbox", "Country": "country"}
"""In no order but its own."""
REJECTED = (1, 2, 8, 13, 17)


def workspace(path: Path) -> Table:
    """Four subjects in two cells and one without an age; twins 0 and 1; a control and a dose sweep, both rejected."""
    rows: list[Row] = []
    for number, (s, e) in enumerate((s, e) for s in range(4) for e in schema.EMOTIONS):
        row = make_row(number, s, 0, e, rejected=REJECTED)
        age = "unknown" if s == 3 else row["source_age"]
        row |= {"design": "balanced", "cell": f"{row['source_gender']}|{age}|{row['source_race']}"}
        rows.append(row | ({"twin_id": f"pair-{e}"} if s < 2 else {}))
    rows.append(make_row(90, 2, 1, schema.NEUTRAL, rejected=[90]) | {"cell": rows[12]["cell"]})
    rows.append(make_row(91, 2, 1, "fear", rejected=[91]) | {"design": "dose", "cell": rows[12]["cell"]})
    table = Table.create(path, shard_rows=4)
    add_rows(table, rows)
    return table


def counted(found: tuple[Accepted, ...], by: str) -> dict[str | None, tuple[int, int]]:
    return {each.group: (each.accepted, each.judged) for each in found if each.by == by}


def test_acceptance_is_counted_by_group_before_the_rejected_go(tmp_path: Path) -> None:
    table = workspace(tmp_path / "ws")
    found = origins.acceptance(table)
    rows = [row for row in table.rows(["emotion", "control", "design", "cell", "accepted"]) if row["emotion"]]
    rows = [row for row in rows if row["design"] == "balanced"]
    for by, names in {
        "emotion": [row["emotion"] for row in rows],
        "gender": [row["cell"].split("|")[0] for row in rows],
        "race": [row["cell"].split("|")[2] for row in rows],
        "age": [None if "unknown" in row["cell"] else "30-39" for row in rows],
    }.items():
        judged, accepted = Counter(names), Counter(n for n, row in zip(names, rows, strict=True) if row["accepted"])
        assert counted(found, by) == {name: (accepted[name], count) for name, count in judged.items()}, by
    assert sum(each.judged for each in found if each.by == "intensity") == 20
    assert sum(each.judged - each.accepted for each in found if each.by == "emotion") == len(REJECTED)
    assert [each.group for each in found if each.by == "emotion"] == list(schema.EMOTIONS)
    without = {row["clip_id"] for row in table.rows(["clip_id", "subject_id"]) if row["subject_id"] == "0"}
    assert sum(each.judged for each in origins.acceptance(table, without) if each.by == "emotion") == 15


def test_nothing_scored_is_no_acceptance(tmp_path: Path) -> None:
    assert origins.acceptance(make_workspace(tmp_path / "ws", groups=["plan", "generate"])) == ()


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as server:
        server.users = {"hf_owner": "you"}
        yield server


def test_a_withdrawal_keeps_who_was_accepted_and_the_order_of_the_form(hub: Hub, tmp_path: Path) -> None:
    workspace(tmp_path / "ws")
    (tmp_path / "form.json").write_text(json.dumps(FORM))
    publish = ("publish", "ws", "--version", "1.0.0", "--repo", REPO, "--access-form", "form.json")
    dry = equime(hub, tmp_path, *publish, "--dry-run")
    assert dry.returncode == 0 and f"access form: {', '.join(FORM)}\n" in dry.stdout, dry.stderr
    for words in (publish, ("withdraw", "0", REPO, "--yes")):
        done = equime(hub, tmp_path, *words)
        assert done.returncode == 0, done.stderr
    files = hub.repos[REPO].commits[hub.repos[REPO].resolve("main")]
    manifest = Manifest.from_json(files["manifest.json"], REPO)
    assert manifest.about.version == "1.0.1" and not [clip for clip in manifest.clips if "_0_" in clip]
    assert manifest.acceptance == origins.acceptance(Table(tmp_path / "ws")), "as it was when the rows were chosen"
    card = files["README.md"].decode()
    assert list(yaml.safe_load(card.split("\n---\n")[0])["extra_gated_fields"]) == list(FORM)
    assert list(manifest.about.policy.form) == list(FORM) and f"({'; '.join(FORM)})" in card
    low, high = wilson(7, 10)
    assert (
        f"| perceived gender (the source's label) | female | 7 | 10 | 70.0 % ({100 * low:.1f} to {100 * high:.1f}) |"
        in card
    )
    datasheet = files["DATASHEET.md"].decode()
    assert "Clips accepted by perceived gender (the source's label): female 7 of 10, male 8 of 10." in datasheet
    assert "no label 4 of 5" in datasheet


def test_a_link_to_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    release.make(make_workspace(tmp_path / "ws"), tmp_path / "out", About("1.0.0"), progress=False)
    assert (tmp_path / "out").is_symlink() and Manifest.read(tmp_path / "disk").about.version == "1.0.0"


@pytest.mark.parametrize("kind", [1, "nonsense", {"type": "select"}, {"options": ["a"]}, None, ["text"]])
def test_a_field_that_the_hub_does_not_know_is_no_form(kind: object) -> None:
    with pytest.raises(EquimeError, match="expected a label and one of text, checkbox, country, date_picker"):
        Policy(form={"a": kind})


def test_a_form_without_labels_and_a_contact_that_is_blank_are_refused() -> None:
    with pytest.raises(EquimeError, match="expected a label"):
        Policy(form={" ": "text"})
    with pytest.raises(EquimeError, match="expected an address as contact"):
        Policy(contact=" ")


@pytest.mark.parametrize("epoch", ["nonsense", "99999999999999999", "nan"])
def test_a_day_that_cannot_be_told_is_one_line(monkeypatch: pytest.MonkeyPatch, epoch: str) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert today() == "1970-01-02"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    with pytest.raises(EquimeError, match="expected SOURCE_DATE_EPOCH in seconds since 1970"):
        today()


@pytest.mark.parametrize(
    "text", ["[" * 200_000, "{}", "[]", "nothing", '{"schema_version": 1}', '{"schema_version": "x"}']
)
def test_what_is_no_manifest_is_one_line(text: str) -> None:
    with pytest.raises(EquimeError, match="there is no manifest of a release") as told:
        Manifest.from_json(text, "there")
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        *(("files.a.bytes", "x"), ("files.a.bytes", None), ("clips", 5), ("counts", 5), ("counts.train", "x")),
        *(("planned", "x"), ("planned", True), ("left_out", ["x"]), ("left_out.x", "y"), ("marks", 5)),
        *(("about.mode", "evil"), ("about.repo", 5), ("about.policy.form", 5), ("about.policy.contact", 5)),
        *(("withdrawn", [{"subject_id": "s"}]), ("made", [5]), ("acceptance", [{"by": 1}]), ("more", 1)),
    ],
)
def test_a_manifest_of_wrong_types_is_one_line(path: str, value: Any) -> None:
    values = json.loads(Manifest(About("1.0.0"), {"a": FileEntry(1, "0")}, {}, {"train": {}}, 1).to_json())
    *above, last = path.split(".")
    inner = values
    for name in above:
        inner = inner[name]
    inner[last] = value
    with pytest.raises(EquimeError, match="is no manifest of a release") as caught:
        Manifest.from_json(json.dumps(values), "it")
    assert "\n" not in str(caught.value)


def test_a_manifest_comes_back_and_may_lack_what_has_a_default() -> None:
    whole = Manifest(About("1.0.0"), {"a": FileEntry(1, "0")}, {"c": "1"}, {"train": {"x": 1}}, 1)
    assert Manifest.from_json(whole.to_json(), "it") == whole
    values = json.loads(whole.to_json())
    del values["acceptance"], values["marks"]
    assert Manifest.from_json(json.dumps(values), "it") == whole
