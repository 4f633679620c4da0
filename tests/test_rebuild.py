"""Recipes, and the clips made again from them: by whom, by what, and what is said where they differ."""

from __future__ import annotations

import argparse
import hashlib
import hmac
import json
import os
import shutil
import textwrap
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_client import ROOT, Client
from hub_server import Hub
from make_workspace import make_row, make_tree, make_workspace, write_shard

from equime import checks, hub, schema, video
from equime.action_units import parse
from equime.builders.caption import Caption
from equime.builders.generate import Generate
from equime.builders.score import Score
from equime.commands.rebuild import rebuild_flags
from equime.errors import EquimeError
from equime.footer import FOOTER_KEY, mark_of
from equime.generators.warp import Warp
from equime.marks import input_digests
from equime.publishing import manifest
from equime.publishing.about import About
from equime.publishing.manifest import Manifest
from equime.publishing.recipes import recipe, tolerance
from equime.publishing.recipes.rebuild import Rebuilt, rebuild
from equime.publishing.recipes.stage_fields import nameless, stage_of
from equime.runner import run
from equime.table import Table
from equime.tree_import import import_tree

SHORT = Warp(num_frames=28)
PICTURES = {"s1": ("ann.png", "bob.jpg"), "s2": ("cat.webp",)}
"""Subject -> its pictures; the clips of s1 take them in turn."""
UNITS = ("B6C+B12C", "B1C+B2C", "L12D", "B4C+B7C", "B12C")


def clips(faces: Path, units: Iterable[str] = UNITS) -> list[dict[str, Any]]:
    """Planned rows: clips 0, 1, 2 of s1, by two pictures in turn, 3 and 4 of s2."""
    rows = []
    for number, text in enumerate(units):
        subject = "s1" if number < 3 else "s2"
        source = PICTURES[subject][number % len(PICTURES[subject])]
        row = {n: v for n, v in make_row(number, 0, number, "happiness").items() if n in schema.GROUPS["plan"].names}
        row |= {"clip_id": f"happiness/f_{subject}_{number}", "subject_id": subject, "split": "train", "source": source}
        row |= {"source_sha256": hashlib.sha256((faces / source).read_bytes()).hexdigest()}
        row |= {"action_units": [unit.to_dict() for unit in parse(text).units], "seed": 1000 + number}
        times = {"onset_ms": 420.0, "apex_ms": 575.0, "offset_ms": 760.0}
        rows.append(row | times | {"onset": 10, "apex": 14, "offset": 18})
    return rows


def workspace(path: Path, faces: Path, rows: list[dict[str, Any]], crf: tuple[int, ...] = (18,)) -> Table:
    """Two clips a shard, generated (shard k with the k-th CRF, in turn), captioned and scored."""
    table = Table.create(path, shard_rows=2)
    for index in range(0, len(rows), 2):
        write_shard(table, "plan", index // 2, rows[index : index + 2])
    for k, factor in enumerate(crf):
        assert not run(Generate(faces=faces, warp=SHORT, crf=factor), table, shard=(k, len(crf))).failed
    assert not run(Caption(), table).failed
    assert not run(Score(), table).failed
    return table


def publish(table: Table, out: Path) -> Path:
    """A recipe, as far as `rebuild` reads it."""
    hub.write_layout(table, out, clips=False)
    rows = [row for p in sorted(out.glob("metadata/*.parquet")) for row in pq.read_table(p).to_pylist()]
    hashes = {row["clip_id"]: row["sha256"] for row in rows}
    recipe.write_sources(table, out, hashes)
    seal(out, hashes)
    return out


def seal(out: Path, hashes: dict[str, str] | None = None, mode: Any = "recipe") -> None:
    """Write the manifest of what lies in a folder now."""
    held = hashes if hashes is not None else dict(Manifest.read(out).clips)
    about = About("1.0.0", "org/equime", mode, date="2026-01-01")
    told = Manifest(about, manifest.listed(out), held, {"train": {"happiness": len(held)}}, planned=len(held))
    (out / manifest.NAME).write_text(told.to_json())


@pytest.fixture(scope="module")
def made(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Table:
    """Five clips of two subjects by three pictures, made in two ways. Read only."""
    return workspace(tmp_path_factory.mktemp("made") / "ws", faces, clips(faces), crf=(18, 21))


@pytest.fixture(scope="module")
def released(made: Table, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its recipe. Read only."""
    return publish(made, tmp_path_factory.mktemp("released") / "recipe")


@pytest.fixture(scope="module")
def pictures(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three pictures elsewhere: renamed, one twice, beside files that are none."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "deep").mkdir()
    shutil.copy(faces / "ann.png", folder / "deep" / "IMG 0001.PNG")
    shutil.copy(faces / "bob.jpg", folder / "b.jpeg")
    shutil.copy(faces / "bob.jpg", folder / "a copy of b.jpeg")
    shutil.copy(faces / "cat.webp", folder / "no-ending")
    (folder / "notes.txt").write_text("not a picture")
    (folder / "empty.jpg").touch()
    (folder / os.fsdecode(b"\xff.jpg")).write_bytes(b"odd name")
    return folder


@pytest.fixture(scope="module")
def again(released: Path, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Rebuilt, Table]:
    """The recipe made again by somebody with other names and another size of shard. Read only."""
    out = tmp_path_factory.mktemp("again") / "ws"
    return rebuild(str(released), pictures, out, shard_rows=3, progress=False), Table(out)


def content(table: Table, columns: list[str]) -> dict[str, Any]:
    return {row["clip_id"]: row for row in table.rows(columns)}


# --------------------------------------------------------------------------------------------------- what a recipe says


def test_a_recipe_names_no_picture(released: Path, made: Table, faces: Path) -> None:
    held = b"".join(path.read_bytes() for path in released.rglob("*") if path.is_file())
    tables = [pq.read_table(path) for path in released.rglob("*.parquet")]
    held += json.dumps([table.to_pylist() for table in tables]).encode()
    held += json.dumps(
        [{k.decode(): v.decode() for k, v in (t.schema.metadata or {}).items()} for t in tables]
    ).encode()
    for name in ("ann.png", "bob.jpg", "cat.webp"):
        assert name.encode() not in held
        assert hashlib.sha256((faces / name).read_bytes()).hexdigest().encode() not in held
    assert str(faces).encode() not in held
    assert b"ftyp" not in held


def test_who_holds_a_picture_finds_it(released: Path, faces: Path) -> None:
    """By the definition: HMAC-SHA256 of the picture's hash, the key the hash of the sorted ids."""
    sources = pq.read_table(released / recipe.SOURCES)
    ids = sources["clip_id"].to_pylist()
    assert ids == [row["clip_id"] for row in clips(faces)]
    key = hashlib.sha256("\n".join(sorted(ids)).encode()).digest()
    assert json.loads(sources.schema.metadata[FOOTER_KEY])["salt"] == key.hex()
    for row, name in zip(clips(faces), sources["source_match"].to_pylist(), strict=True):
        assert name == hmac.new(key, row["source_sha256"].encode(), hashlib.sha256).hexdigest()


def test_the_same_workspace_gives_the_same_bytes(released: Path, made: Table, tmp_path: Path) -> None:
    other = publish(made, tmp_path / "other")
    assert (other / recipe.SOURCES).read_bytes() == (released / recipe.SOURCES).read_bytes()


def test_only_what_goes_out_is_named(made: Table, tmp_path: Path) -> None:
    kept = ["happiness/f_s1_1", "happiness/f_s2_4"]
    recipe.write_sources(made, tmp_path, set(kept))
    assert pq.read_table(tmp_path / recipe.SOURCES)["clip_id"].to_pylist() == kept


def test_imported_clips_have_no_recipe(tmp_path: Path) -> None:
    import_tree(make_tree(tmp_path / "tree", subjects=1, emotions=["fear"]), tmp_path / "ws", progress=False)
    table = Table(tmp_path / "ws")
    ids = {row["clip_id"] for row in table.rows(["clip_id"])}
    with pytest.raises(EquimeError, match="imported: publish the clips themselves") as caught:
        recipe.write_sources(table, tmp_path / "out", ids)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


# ----------------------------------------------------------------------------------------------------------- made again


def test_every_clip_is_made_again_to_the_byte(again: tuple[Rebuilt, Table], made: Table) -> None:
    rebuilt, table = again
    assert (rebuilt.clips, rebuilt.identical, rebuilt.alike) == (5, 5, 0)
    assert rebuilt.whole and not rebuilt.notes
    for row in table.rows(["video", "sha256"]):
        there = made.find(row["clip_id"])
        assert row["video"]["bytes"] == there["video"]["bytes"]
        assert video.sha256(row["video"]["bytes"]) == there["sha256"]


def test_all_else_comes_along_and_is_fresh(again: tuple[Rebuilt, Table], made: Table) -> None:
    """Every published column, by the marks of the stages: run again, they find nothing to do."""
    _, table = again
    names = [name for name in schema.METADATA.names if name not in schema.UNPUBLISHED]
    theirs = content(made, names)
    # With fewer than three subjects no split but train makes sense, in the layout too.
    assert content(table, names) == theirs
    assert list(checks.check(table)) == []
    for stage in (Caption(), Score()):
        receipt = run(stage, table, progress=False)
        assert (receipt.done, receipt.fresh, receipt.foreign) == (0, len(table.shards()), 0)


def test_pictures_are_found_whatever_they_are_called(again: tuple[Rebuilt, Table]) -> None:
    _, table = again
    sources = {row["clip_id"]: row["source"] for row in table.rows(["source"])}
    assert sources["happiness/f_s1_0"] == "deep/IMG 0001.PNG"
    assert sources["happiness/f_s1_1"] == "a copy of b.jpeg"  # the first of two alike
    assert sources["happiness/f_s2_4"] == "no-ending"


def test_twice_does_nothing_twice(released: Path, pictures: Path, again: tuple[Rebuilt, Table], tmp_path: Path) -> None:
    shutil.copytree(again[1].path, tmp_path / "ws")
    before = stamps(tmp_path / "ws")
    rebuilt = rebuild(str(released), pictures, tmp_path / "ws", progress=False)
    assert rebuilt.identical == 5
    assert stamps(tmp_path / "ws") == before


def stamps(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*.parquet")}


def test_missing_pictures_are_said_and_can_come_later(released: Path, faces: Path, tmp_path: Path) -> None:
    (tmp_path / "faces").mkdir()
    shutil.copy(faces / "ann.png", tmp_path / "faces" / "x.png")
    first = rebuild(str(released), tmp_path / "faces", tmp_path / "ws", shard_rows=2, progress=False)
    assert (first.identical, first.missing, first.whole) == (2, {"s1": 1, "s2": 2}, False)
    before = stamps(tmp_path / "ws")
    shutil.copy(faces / "bob.jpg", tmp_path / "faces" / "y.png")
    shutil.copy(faces / "cat.webp", tmp_path / "faces" / "z.png")
    second = rebuild(str(released), tmp_path / "faces", tmp_path / "ws", progress=False)
    assert (second.identical, second.missing, second.whole) == (5, {}, True)
    assert before.items() <= stamps(tmp_path / "ws").items()
    for path in (tmp_path / "faces").iterdir():  # what is made stays made without its picture
        path.unlink()
    assert rebuild(str(released), tmp_path / "faces", tmp_path / "ws", progress=False).whole


def test_no_picture_at_all_is_a_report_too(released: Path, tmp_path: Path) -> None:
    (tmp_path / "faces").mkdir()
    rebuilt = rebuild(str(released), tmp_path / "faces", tmp_path / "ws", progress=False)
    assert rebuilt.missing == {"s1": 3, "s2": 2}
    assert "5 clips of 2 subjects without a picture" in str(rebuilt)


def test_pictures_renamed_on_the_way(
    released: Path, pictures: Path, again: tuple[Rebuilt, Table], tmp_path: Path
) -> None:
    """Clips that are not made yet are made from the new name; those that are made stay."""
    shutil.copytree(again[1].path, tmp_path / "ws")
    shutil.copytree(pictures, tmp_path / "faces")
    table = Table(tmp_path / "ws")
    table.shard_path("generate", 1).unlink()
    before = stamps(tmp_path / "ws" / "generate")
    (tmp_path / "faces" / "deep").rename(tmp_path / "faces" / "renamed")
    (tmp_path / "faces" / "no-ending").rename(tmp_path / "faces" / "renamed too.png")
    rebuilt = rebuild(str(released), tmp_path / "faces", tmp_path / "ws", progress=False)
    assert (rebuilt.identical, rebuilt.whole) == (5, True)
    assert table.read(1, ["source"])["source"].to_pylist() == ["renamed/IMG 0001.PNG", "renamed too.png"]
    assert before.items() <= stamps(tmp_path / "ws" / "generate").items()


def test_links_out_of_the_folder_are_not_followed(released: Path, faces: Path, tmp_path: Path) -> None:
    (tmp_path / "faces").mkdir()
    (tmp_path / "faces" / "ann.png").symlink_to(faces / "ann.png")
    assert rebuild(str(released), tmp_path / "faces", tmp_path / "ws", progress=False).missing == {"s1": 3, "s2": 2}


def test_a_rebuilt_workspace_is_the_same_recipe(again: tuple[Rebuilt, Table], released: Path, tmp_path: Path) -> None:
    found, there = (recipe.open_recipe(str(path)) for path in (publish(again[1], tmp_path / "recipe"), released))

    def told(of: recipe.Recipe) -> dict[str, Any]:
        return {clip_id: (of.matches[row], of.makings[of.making[row]]) for clip_id, row in of.place.items()}

    assert told(found) == told(there)


def test_stopped_and_started_again(released: Path, pictures: Path, tmp_path: Path) -> None:
    """By Ctrl-C, as soon as the first shard stands: it stays, the rest follows."""
    out = tmp_path / "ws"
    code = """
import os, signal, sys
from pathlib import Path
from equime.publishing.recipes.rebuild import rebuild
from equime.table import Table

def write(table, group, *rest, **more):
    written(table, group, *rest, **more)
    if group == "generate":
        os.kill(os.getpid(), signal.SIGINT)

written, Table.write = Table.write, write
rebuild(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), shard_rows=1)
"""
    done = Client(["-c", code, str(released), str(pictures), str(out)], dict(os.environ), tmp_path).wait()
    assert done.returncode and "KeyboardInterrupt" in done.stderr, done.stderr
    before = stamps(out)
    assert len(list(out.glob("generate/0*.parquet"))) == 1
    rebuilt = rebuild(str(released), pictures, out, progress=False)
    assert rebuilt.identical == 5
    assert before.items() <= stamps(out).items()


# ------------------------------------------------------------------------------------------ clips that are not the same


def forged(table: Table, index: int, other: Table) -> None:
    """Put the clips and scores of another's first shard into one as if it had made them: as other machines do."""
    for group in ("generate", "score"):
        ours = table.footer(group, index)
        assert ours
        rows = other.read(0, schema.GROUPS[group].names)
        inputs = input_digests(table, ours.reads, index)
        assert inputs
        table.write(group, index, rows, replace(ours, mark=mark_of(group, ours.version, ours.fields, inputs)))


@pytest.fixture(scope="module")
def differing(made: Table, faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipe of somebody whose encoder was another (shard 0) and whose warp drew something else (shard 2)."""
    folder = tmp_path_factory.mktemp("differing")
    shutil.copytree(made.path, folder / "ws")
    table = Table(folder / "ws")
    forged(table, 0, workspace(folder / "coded", faces, clips(faces)[:2], crf=(19,)))
    forged(table, 2, workspace(folder / "drawn", faces, clips(faces, (*UNITS[:4], "R12C"))[4:]))
    return publish(table, folder / "recipe")


@pytest.fixture(scope="module")
def judged(differing: Path, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Rebuilt, Table]:
    out = tmp_path_factory.mktemp("judged") / "ws"
    return rebuild(str(differing), pictures, out, shard_rows=2, progress=False), Table(out)


def test_other_bytes_that_show_the_same_are_within_tolerance(judged: tuple[Rebuilt, Table]) -> None:
    rebuilt, _ = judged
    assert (rebuilt.identical, rebuilt.alike) == (2, 2), rebuilt.different
    assert "psnr_source within 1;" in str(rebuilt)


def test_what_shows_something_else_is_different(judged: tuple[Rebuilt, Table]) -> None:
    rebuilt, _ = judged
    assert set(rebuilt.different) == {"happiness/f_s2_4"}
    assert not rebuilt.whole
    assert "measured_side R in the recipe, B here" in rebuilt.different["happiness/f_s2_4"]


def test_only_what_still_holds_comes_along(judged: tuple[Rebuilt, Table], differing: Path) -> None:
    """Captions follow from the plan and come along for all; the scores of other clips are measured here."""
    rebuilt, table = judged
    theirs = recipe.open_recipe(str(differing))
    assert all(row["caption"] for row in table.rows(["caption"]))
    for row in table.rows(["sha256", "psnr_source"]):
        there = theirs.take([row["clip_id"]], ["psnr_source"])["psnr_source"][0].as_py()
        same = row["sha256"] == theirs.manifest.clips[row["clip_id"]]
        assert (row["psnr_source"] == there) == same
    assert rebuilt.notes == ()


def test_without_scores_other_bytes_are_different(differing: Path, pictures: Path, faces: Path, tmp_path: Path) -> None:
    table = Table.create(tmp_path / "ws", shard_rows=2)
    write_shard(table, "plan", 0, clips(faces)[:2])
    assert not run(Generate(faces=faces, warp=SHORT, crf=20), table, progress=False).failed
    footer = table.footer("generate", 0)
    inputs = input_digests(table, footer.reads, 0) if footer else None
    assert footer and inputs
    fields = footer.fields | {"crf": 19}
    mark = mark_of("generate", footer.version, fields, inputs)
    rows = table.read(0, schema.GROUPS["generate"].names)
    table.write("generate", 0, rows, replace(footer, fields=fields, mark=mark))
    rebuilt = rebuild(str(publish(table, tmp_path / "recipe")), pictures, tmp_path / "out", progress=False)
    assert set(rebuilt.different.values()) == {"the recipe has no score to judge it by"}
    other = dict.fromkeys(tolerance.COLUMNS)
    assert tolerance.differences(other, other) == ["the recipe has no score to judge it by"]


def test_a_clip_that_cannot_be_made_is_a_failure(made: Table, pictures: Path, tmp_path: Path) -> None:
    """The recipe asks for a unit that the warp cannot show: the clip's own reason is said."""
    table = Table.create(tmp_path / "ws", shard_rows=2)
    rows = made.read(0, schema.GROUPS["plan"].names).to_pylist()
    rows[0] |= {"action_units": [{"au": 8, "side": "B", "intensity": "E"}]}
    write_shard(table, "plan", 0, rows)
    for group in ("generate", "score"):
        (table.path / group).mkdir()
        shutil.copy(made.shard_path(group, 0), table.shard_path(group, 0))
    forged(table, 0, made)
    rebuilt = rebuild(str(publish(table, tmp_path / "recipe")), pictures, tmp_path / "out", progress=False)
    assert list(rebuilt.failed) == ["happiness/f_s1_0"]
    assert "a warp can show" in rebuilt.failed["happiness/f_s1_0"]
    assert (rebuilt.identical, rebuilt.whole) == (1, False)


# ------------------------------------------------------------------------------------------------------------ tolerance


def test_tolerance_is_judged_in_the_units_it_states() -> None:
    row = dict.fromkeys(tolerance.COLUMNS) | {"fps": 25.0, "measured_apex_ms": 500.0, "amplitude": 0.02}
    row |= {"psnr_source": 36.0, "region_motion": {"lid": 0.009, "brow": 0.0}}
    assert tolerance.differences(row, row) == []
    for name, near, far in (
        ("measured_apex_ms", 540.0, 540.1),
        ("amplitude", 0.0209, 0.0221),
        ("psnr_source", 35.0, 34.9),
        ("measured_side", None, "L"),
        ("blinks", None, 1),
        ("region_motion", {"lid": 0.008, "brow": 0.001}, {"lid": 0.009, "brow": 0.0014}),
        ("crop", None, {"x": 1.0}),
    ):
        assert tolerance.differences(row, row | {name: near}) == []
        (line,) = tolerance.differences(row, row | {name: far})
        assert line.startswith(name)
    assert tolerance.differences(row, row | {"amplitude": None})


# --------------------------------------------------------------------------------------------- what is refused, and how


def refused(where: Path | str, faces: Path, out: Path) -> str:
    with pytest.raises(EquimeError) as caught:
        rebuild(str(where), faces, out, progress=False)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_no_recipe_is_refused(released: Path, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "ws"
    assert "no release" in refused(tmp_path, pictures, out)
    assert "OWNER/NAME[@VERSION]" in refused("nowhere", pictures, out)
    assert "--faces" in refused(released, tmp_path / "nowhere", out)
    shutil.copytree(released, tmp_path / "clips")
    seal(tmp_path / "clips", mode="clips")
    assert "holds the clips themselves" in refused(tmp_path / "clips", pictures, out)
    assert not out.exists()


def test_another_workspace_is_left_alone(released: Path, pictures: Path, tmp_path: Path) -> None:
    make_workspace(tmp_path / "ws", subjects=1)
    before = stamps(tmp_path / "ws")
    assert "holds other clips" in refused(released, pictures, tmp_path / "ws")
    assert stamps(tmp_path / "ws") == before


def test_a_changed_file_is_refused(released: Path, pictures: Path, tmp_path: Path) -> None:
    for path in ("metadata/train.parquet", recipe.SOURCES):
        folder = tmp_path / path.replace("/", "-")
        shutil.copytree(released, folder)
        data = bytearray((folder / path).read_bytes())
        data[len(data) // 2] ^= 1
        (folder / path).write_bytes(data)
        assert f"{path} is not what the manifest says" in refused(folder, pictures, tmp_path / "ws")
        (folder / path).unlink()
        assert f"cannot read {path}" in refused(folder, pictures, tmp_path / "ws")


def edited(released: Path, folder: Path, change: Any = None, about: Any = None) -> Path:
    """A recipe with other sources, its manifest in step: what somebody who means harm would write."""
    shutil.copytree(released, folder)
    sources = pq.read_table(folder / recipe.SOURCES)
    metadata = dict(sources.schema.metadata)
    if about:
        said = json.loads(metadata[FOOTER_KEY])
        about(said)
        metadata[FOOTER_KEY] = json.dumps(said).encode()
    sources = change(sources) if change else sources
    pq.write_table(sources.replace_schema_metadata(metadata), folder / recipe.SOURCES)
    seal(folder)
    return folder


def test_sources_out_of_step_are_refused(released: Path, pictures: Path, tmp_path: Path) -> None:
    cases: dict[str, Any] = {
        "short": lambda t: t.slice(1),
        "twice": lambda t: pa.concat_tables([t.slice(1), t.slice(1, 1)]),
        "typed": lambda t: t.set_column(0, "clip_id", pa.array(list(range(len(t))))),
        "beyond": lambda t: t.set_column(2, "making", pa.array([9] * len(t), pa.int32())),
    }
    for name, change in cases.items():
        folder = edited(released, tmp_path / name, change)
        assert "fetch it again" in refused(folder, pictures, tmp_path / "ws")
    for name, about in {
        "salt": lambda said: said.update(salt="no hex"),
        "list": lambda said: said.update(makings=[{"generate": [1]}]),
        "none": lambda said: said.update(makings=[{}, {}]),
    }.items():
        assert "fetch it again" in refused(edited(released, tmp_path / name, about=about), pictures, tmp_path / "ws")


def test_an_id_that_leaves_the_folder_is_refused(released: Path, pictures: Path, tmp_path: Path) -> None:
    folder = tmp_path / "recipe"
    shutil.copytree(released, folder)
    bad = "../../f_s1_0"
    for path in (recipe.SOURCES, "metadata/train.parquet"):
        rows = pq.read_table(folder / path)
        ids = pa.array([bad if each == "happiness/f_s1_0" else each for each in rows["clip_id"].to_pylist()])
        rows = rows.set_column(0, "clip_id", ids)
        pq.write_table(rows, folder / path)
    hashes = dict(Manifest.read(folder).clips)
    hashes[bad] = hashes.pop("happiness/f_s1_0")
    seal(folder, hashes)
    assert "clip_id should read" in refused(folder, pictures, tmp_path / "ws")
    assert not (tmp_path / "ws").exists()


def test_options_that_do_not_fit_are_refused(released: Path, pictures: Path, tmp_path: Path) -> None:
    def field(**values: Any) -> Any:
        return lambda said: said["makings"][0]["generate"]["fields"].update(values)

    cases = {
        "unknown": (field(hue=1), "does not know: ['hue']"),
        "text": (field(crf="18"), "generate.crf"),
        "name": (field(generator="gan"), "generate.generator"),
        "nested": (field(warp={"num_frames": 3.5}), "generate.warp.num_frames"),
        "climbs": (field(generator="ltx", warp={}, ltx={"model": "../../model"}), "generate.ltx.model"),
        "old": (lambda said: said["makings"][0]["generate"].update(version=1), "made by version 1 of generate"),
    }
    for name, (about, words) in cases.items():
        folder = edited(released, tmp_path / name, about=about)
        assert words in refused(folder, pictures, tmp_path / "ws")
        assert not (tmp_path / "ws").exists()


def test_folders_of_a_machine_do_not_go_out(made: Table) -> None:
    fields = {"ltx": {"model": "/home/ada/models/ltx/", "revision": None, "timesteps": [1.0]}, "crf": 18}
    assert nameless(fields) == {"ltx": {"model": "ltx", "revision": None, "timesteps": [1.0]}, "crf": 18}
    assert nameless("Lightricks/LTX-Video") == "Lightricks/LTX-Video"
    footer = made.footer("generate", 0)
    assert footer
    newest = {"generator": "ltx", "ltx": {"model": "org/ltx", "revision": None}}
    stage = stage_of(replace(footer, fields=newest, models={"org/ltx": "c0ffee"}))
    assert (stage.ltx.model, stage.ltx.revision) == ("org/ltx", "c0ffee")


# --------------------------------------------------------------------------------------------- the command, and the Hub


def test_the_command_says_what_is_wrong(
    released: Path, faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = argparse.ArgumentParser()
    rebuild_flags(parser)
    parser.add_argument("--json", action="store_true")
    (tmp_path / "faces").mkdir()
    shutil.copy(faces / "cat.webp", tmp_path / "faces")
    line = [str(released), "--faces", str(tmp_path / "faces"), "--out", str(tmp_path / "ws")]
    options = parser.parse_args(line)
    assert options.command(options) == 1
    told = capsys.readouterr()
    assert "2 identical" in told.out
    assert "s1: no picture for 3 clips" in told.err
    options = parser.parse_args([*line, "--json"])
    assert options.command(options) == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["identical"], document["missing"], document["whole"]) == (2, {"s1": 3}, False)


def test_a_gated_recipe_from_the_hub(released: Path, tmp_path: Path) -> None:
    """Only what a recipe needs is fetched; without access one line says where to ask."""
    code = """
    import json, sys
    from equime.errors import EquimeError
    from equime.publishing.recipes.recipe import open_recipe
    try:
        found = open_recipe(sys.argv[1])
        print(json.dumps([len(found.rows), found.manifest.digest()]))
    except EquimeError as error:
        print(json.dumps(str(error)))
    """
    shutil.copytree(released, tmp_path / "release")
    (tmp_path / "release" / "README.md").write_text("# a card\n")
    seal(tmp_path / "release")
    with Hub() as server:
        server.users = {"hf_member": "ada", "hf_stranger": "bob"}
        repo = server.create("org/recipe", tmp_path / "release", gated="manual", members={"ada"})
        repo.refs["1.0.0"] = repo.refs["main"]
        server.create("org/plain", {"README.md": b"# nothing\n"})

        def ask(where: str, token: str | None) -> Any:
            home = tmp_path / f"home-{token}"
            environment = server.environment(home, token, PYTHONPATH=str(ROOT))
            done = Client(["-c", textwrap.dedent(code), where], environment, tmp_path).wait()
            assert done.returncode == 0, done.stderr[-2000:]
            return json.loads(done.stdout.splitlines()[-1])

        digest = Manifest.read(tmp_path / "release").digest()
        assert ask("org/recipe@1.0.0", "hf_member") == [5, digest]
        fetched = {
            path.rpartition("/resolve/")[2].partition("/")[2] for _, path, *_ in server.log if "/resolve/" in path
        }
        assert fetched <= {"README.md", "manifest.json", "recipe/sources.parquet", "metadata/train.parquet"}
        assert "gated: ask for access" in ask("org/recipe", "hf_stranger")
        assert "no revision '2.0.0'" in ask("org/recipe@2.0.0", "hf_member")
        assert "org/plain" in ask("org/plain", "hf_member")
