from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as pq
import pytest
from make_workspace import add_rows

import equime
from equime import hub, schema
from equime.errors import EquimeError
from equime.hub import write_layout
from equime.publishing.releasing import space
from equime.table import Table

SHORT = 500
LABELS = {
    "the five": schema.EMOTIONS,
    "with disgust and controls": (*schema.EMOTIONS, schema.DISGUST, *schema.CONTROLS),
}


def planned(emotions: Sequence[str], subjects: int, each: int) -> Iterator[dict[str, Any]]:
    """Plan rows of tiny clips (their bytes stand for mp4s: nothing here decodes), subject by subject."""
    for subject in range(subjects):
        for sequence in range(each):
            for emotion in emotions:
                control = emotion if emotion in schema.CONTROLS else None
                yield {
                    "clip_id": f"{emotion}/f_{subject}_{sequence}",
                    "subject_id": str(subject),
                    "source": "x.png",
                    "source_sha256": "0" * 64,
                    "emotion": None if control else emotion,
                    "control": control,
                    "split": schema.SPLITS[0 if subject % 8 else 1 + subject // 8 % 2],
                    "video": {"bytes": f"{emotion}{subject}-{sequence}".encode(), "path": None},
                    "sha256": f"{subject}-{sequence}-{emotion}",
                }


@pytest.fixture(scope="module", params=sorted(LABELS))
def layout(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Sequence[str]]:
    """1,300 clips of each emotion, a fifth of them rejected at random."""
    emotions, folder, draw = LABELS[request.param], tmp_path_factory.mktemp("order"), random.Random(1)
    table = Table.create(folder / "ws", shard_rows=640)
    rows = list(planned(emotions, subjects=65, each=20))
    add_rows(table, [row | {"accepted": draw.random() > 0.2} for row in rows], ["generate", "score"])
    write_layout(table, folder / "out", progress=False)
    return folder / "out", emotions


def windows(labels: Sequence[str]) -> Iterator[Counter[str]]:
    """Counts over every `SHORT` labels in a row."""
    count = Counter(labels[:SHORT])
    yield count.copy()
    for gone, come in zip(labels, labels[SHORT:], strict=False):
        count[gone] -= 1
        count[come] += 1
        yield count.copy()


def labels_of(rows: Any) -> list[str]:
    columns = rows.to_dict()
    return [emotion or control for emotion, control in zip(columns["emotion"], columns["control"], strict=True)]


def test_any_500_rows_in_the_files_order_hold_every_label(layout: tuple[Path, Sequence[str]], tmp_path: Path) -> None:
    out, emotions = layout
    datasets.disable_progress_bars()
    rows = datasets.load_dataset(str(out), "video", split="train", cache_dir=str(tmp_path)).select_columns(
        ["emotion", "control"]
    )
    found = labels_of(rows)
    assert len(found) > 800 * len(emotions)
    files = [f for f in hub.data_files(p.relative_to(out).as_posix() for p in out.rglob("data/train/*"))]
    full = sum(pq.read_metadata(out / f.path).num_rows for f in files if f.round < max(g.round for g in files))
    assert all(set(+count) == set(emotions) for count in windows(found[:full]))
    # A window is a round or longer: a whole file of each label, of one or of two, and never three of one.
    fair = SHORT / len(emotions)
    assert all(0.6 * fair <= count[e] <= 2 * fair for count in windows(found[:full]) for e in emotions)


def test_any_500_rows_of_our_loader_hold_every_label_in_nearly_equal_share(layout: tuple[Path, Sequence[str]]) -> None:
    out, emotions = layout
    rows = equime.load(str(out), "video", split="train", streaming=True, columns=["emotion", "control"])
    names = rows.features["emotion"].names
    found = [names[row["emotion"]] if row["emotion"] is not None else row["control"] for row in rows]
    fair = SHORT / len(emotions)
    whole = len(found) - len(found) % SHORT - SHORT  # the last rounds run out
    assert whole > 800 * len(emotions) / 2
    assert all(abs(count[e] - fair) < 0.35 * fair for count in windows(found[:whole]) for e in emotions)


def test_a_round_stays_within_500_clips(layout: tuple[Path, Sequence[str]]) -> None:
    out, emotions = layout
    sizes = Counter[str]()
    for path in sorted(out.glob("data/train/*.parquet")):
        sizes[path.name.partition("-")[0]] += pq.read_metadata(path).num_rows
    assert max(sizes.values()) <= SHORT and len(sizes) == -(-1120 // (SHORT // len(emotions)))


def test_perceived_columns_are_marked_and_no_other(layout: tuple[Path, Sequence[str]]) -> None:
    out, _ = layout
    for path in (next(out.glob("data/train/*.parquet")), out / "metadata/train.parquet"):
        found = pq.read_schema(path)
        marked = {f.name for f in found if schema.PERCEIVED_MARK.items() <= (f.metadata or {}).items()}
        assert marked == set(schema.PERCEIVED) and not set(schema.UNPUBLISHED) & set(found.names)


def small(path: Path, count: int = 10, **columns: Any) -> Table:
    table = Table.create(path, shard_rows=4)
    rows = list(planned(schema.EMOTIONS, subjects=3, each=count // 5 or 1))
    add_rows(table, [row | columns for row in rows], ["generate", "caption"])
    return table


def test_metadata_alone_holds_the_same_rows_and_no_bytes(tmp_path: Path) -> None:
    table = small(tmp_path / "ws")
    whole = write_layout(table, tmp_path / "whole", progress=False)
    bare = write_layout(table, tmp_path / "bare", clips=False, progress=False)
    assert sorted(p.relative_to(tmp_path / "bare").as_posix() for p in (tmp_path / "bare").rglob("*.*")) == [
        f"metadata/{split}.parquet" for split in ("train", "validation")
    ]
    for path in (tmp_path / "bare").rglob("*.parquet"):
        assert path.read_bytes() == (tmp_path / "whole" / path.relative_to(tmp_path / "bare")).read_bytes()
    assert (bare.rows, bare.clips, bare.planned, bare.files) == (whole.rows, whole.clips, whole.planned, 2)


def test_withdrawn_clips_leave_their_place_empty_and_are_no_error(tmp_path: Path) -> None:
    table = small(tmp_path / "ws", 30)
    gone = {"fear/f_1_1", "fear/f_1_2", "happiness/f_2_0"}
    write_layout(table, tmp_path / "before", clips_per_file=4, progress=False)
    receipt = write_layout(table, tmp_path / "after", clips_per_file=4, without=gone, progress=False)
    assert receipt.left_out == {"withdrawn": 3} and receipt.errors == {} and receipt.failed == 0
    assert (receipt.planned, receipt.rows) == (90, 87)
    for path in (tmp_path / "before").rglob("*.parquet"):
        name = path.relative_to(tmp_path / "before")
        before = pq.read_table(path, partitioning=None)["clip_id"].to_pylist()
        after = pq.read_table(tmp_path / "after" / name, partitioning=None)["clip_id"].to_pylist()
        assert after == [clip for clip in before if clip not in gone]


def test_clips_with_a_stage_undone_go_only_where_whole_ones_are_not_asked_for(tmp_path: Path) -> None:
    table = small(tmp_path / "ws", caption_error="too dark")
    assert write_layout(table, tmp_path / "a", progress=False).left_out == {}
    with pytest.raises(EquimeError, match="can be written"):
        write_layout(table, tmp_path / "b", whole=True, progress=False)


@pytest.mark.parametrize("count", [0, -1])
def test_a_file_holds_at_least_one_clip(tmp_path: Path, count: int) -> None:
    with pytest.raises(EquimeError, match="at least one clip"):
        write_layout(small(tmp_path / "ws"), tmp_path / "out", clips_per_file=count, progress=False)


def test_a_disk_too_small_is_told_before_anything_is_written(tmp_path: Path) -> None:
    table = small(tmp_path / "ws")
    _inflate(table.shard_path("generate", 0), 1 << 43)
    assert table.read(0, ["video"])["video"][0]["bytes"].as_py() == b"happiness0-0"  # the shard still reads
    assert space.needed(table) > 1 << 43 > space.needed(table, clips=False)
    with pytest.raises(
        EquimeError, match=rf"expected 8796\.\d GB free for {tmp_path}/far/out, the disk at {tmp_path} ha"
    ):
        write_layout(table, tmp_path / "far/out", progress=False)
    assert [p.name for p in tmp_path.iterdir()] == ["ws"]
    write_layout(table, tmp_path / "metadata", clips=False, progress=False)


def test_a_row_fewer_leaves_the_pages_behind_it_as_they_are(tmp_path: Path) -> None:
    table = Table.create(tmp_path / "ws", shard_rows=64)
    draw = random.Random(3)
    rows = list(planned(schema.EMOTIONS, subjects=3, each=20))
    for row in rows:
        row["video"]["bytes"] = draw.randbytes(draw.randrange(80_000, 120_000))
    add_rows(table, rows, ["generate"])
    write_layout(table, tmp_path / "before", progress=False)
    write_layout(table, tmp_path / "after", without={"fear/f_1_1"}, progress=False)
    before, after = ((tmp_path / v / "data/train/00000-fear.parquet").read_bytes() for v in ("before", "after"))
    clips = {row["clip_id"]: row["video"]["bytes"] for row in rows if row["clip_id"].startswith("fear/f_1")}
    for clip_id, data in clips.items():
        assert (data in before) and (data in after) == (clip_id != "fear/f_1_1")
    # A page's header stands before it and says its size: equal where the page holds this clip and no other.
    last = list(clips.values())[-1]
    headers = [whole[whole.index(last) - 24 : whole.index(last)] for whole in (before, after)]
    assert headers[0] == headers[1]


def _inflate(path: Path, size: int) -> None:
    """Put a hole of `size` bytes before a Parquet file's footer: it takes no room and is not read."""
    data = path.read_bytes()
    footer = int.from_bytes(data[-8:-4], "little") + 8
    with path.open("wb") as handle:
        handle.write(data[:-footer])
        handle.seek(size)
        handle.write(data[-footer:])


_GROWTH = """
import hashlib, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_hub_order import planned
from make_workspace import add_rows
from equime import schema
from equime.hub import write_layout
from equime.table import Table

folder, subjects = Path(sys.argv[2]), int(sys.argv[3])
if os.fork() == 0:
    table = Table.create(folder / "ws", shard_rows=64)
    for first in range(0, subjects, 4):
        rows = [row for row in planned(schema.EMOTIONS, first + 4, 4) if int(row["subject_id"]) >= first]
        for row in rows:
            row["video"]["bytes"] = hashlib.shake_128(row["clip_id"].encode()).digest(40_000)
        add_rows(table, rows, ["generate"])
    os._exit(0)
os.wait()
write_layout(Table(folder / "ws"), folder / "out", progress=False)
status = Path("/proc/self/status").read_text()  # ru_maxrss would be the parent's
print(int(status.partition("VmHWM:")[2].split()[0]) * 1024)
"""


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
def test_memory_does_not_grow_with_the_clips(tmp_path: Path) -> None:
    peaks, sizes = [], []
    for name, subjects in (("few", 60), ("many", 240)):
        (tmp_path / name).mkdir()
        command = [sys.executable, "-c", _GROWTH, str(Path(__file__).parent), str(tmp_path / name), str(subjects)]
        peaks.append(int(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout))
        sizes.append(sum(p.stat().st_size for p in (tmp_path / name / "out").rglob("*.parquet")))
    assert sizes[1] - sizes[0] > 140e6
    assert peaks[1] - peaks[0] < 0.2 * (sizes[1] - sizes[0])
