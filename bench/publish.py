"""What a second version costs, and what a release of 75,000 clips takes: pages re-used, memory, seconds.

    python bench/publish.py            # 500 clips of 300 kB for the pages, 75,000 of 400 bytes for the rest
    python bench/publish.py --json

A page counts as re-used where the version before holds one of the same bytes, anywhere: storage that shares equal
pieces keeps it once. Version 2 has other captions. Version 3 has the first version's, and the second clip of each
split and emotion is gone, so that all rows behind it move up. "Plain" is the same writer without content-defined
chunking. Clips are random bytes, which no compression helps; scores are random numbers.
Memory (Linux) is the most that a process held resident, of all clips over that of a tenth of them. "Facts" are the
numbers of the card, counted and measured again from a release that is there.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import pyarrow as pa
import pyarrow.parquet as pq
from make_workspace import add_rows, write_shard

from equime import hub, schema
from equime.publishing.about import About
from equime.publishing.documents import facts
from equime.publishing.releasing import release
from equime.publishing.releasing.layout_file import LayoutFile
from equime.publishing.releasing.preflight import problems
from equime.table import Table

CLIPS, CLIP_BYTES = 75_000, 400
PAGED, PAGED_BYTES = 500, 300_000
PER_SUBJECT = 5
WORDS = (
    "a",
    "brief",
    "slight",
    "one-sided",
    "raise",
    "pull",
    "inner",
    "outer",
    "brow",
    "lip",
    "corner",
    "left",
    "right",
)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=CLIPS)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--measure", nargs=2, type=Path, help=argparse.SUPPRESS)  # one release, in a process of its own
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(released(*options.measure)))
        return
    with tempfile.TemporaryDirectory() as folder:
        found = reuse(Path(folder)) | size(Path(folder), options.clips)
    if options.json:
        print(json.dumps({"claims": claims(found), **found}))
    else:
        print("\n".join(f"{name:42} {value:.2f}" for name, value in found.items()))


def claims(found: dict[str, float]) -> list[dict[str, Any]]:
    """What is held against a goal."""
    rows = [
        ("clip files re-used after a re-caption, bytes", "the version before", "data re-captioned %", "%", 95),
        ("clip files re-used after rows moved up, bytes", "the version before", "data moved %", "%", 95),
        ("metadata re-used after a re-caption, bytes", "the version before", "metadata re-captioned %", "%", 50),
        ("metadata re-used after rows moved up, bytes", "the version before", "metadata moved %", "%", 50),
    ]
    told = [
        {"claim": claim, "against": against, "value": found[name], "unit": unit, "goal": f"at least {goal}"}
        for claim, against, name, unit, goal in rows
    ]
    for what, goal in (("layout", 100), ("release", 200)):
        claim = {"claim": f"memory of a {what} of 75,000 clips", "against": "of a tenth of them"}
        told.append(claim | {"value": found[f"{what} growth MB"], "unit": "MB more", "goal": f"at most {goal}"})
    told.append({"claim": "the numbers of a release of 75,000 clips", "against": "-", "value": found["facts s"]})
    told[-1] |= {"unit": "s", "goal": "at most 20"}
    return told


def plan(clips: int, size: int, caption: str = "v1") -> Iterator[dict[str, Any]]:
    """Rows with every column filled, five emotions for each subject; 8 of 10 subjects in train."""
    for number in range(clips):
        draw = random.Random(number)
        subject, emotion = number // PER_SUBJECT, schema.EMOTIONS[number % PER_SUBJECT]
        row: dict[str, Any] = {f.name: _value(f.type, draw) for f in schema.CLIPS}
        row |= {f"{group}_error": None for group in schema.GROUPS if group != "plan"}
        data = draw.randbytes(int(size * draw.uniform(0.5, 1.5)))
        row |= {"clip_id": f"{emotion}/f_p{subject:012x}_0", "subject_id": f"p{subject:012x}", "sequence": 0}
        row |= {"emotion": emotion, "control": None, "split": schema.SPLITS[max(subject % 10 - 7, 0)]}
        row |= {"source_licence": "CC0", "cell": f"{subject % 60}", "design": "balanced", "accepted": True}
        row |= {"source_sha256": hashlib.sha256(str(subject).encode()).hexdigest(), "reject_reasons": []}
        row |= {"video": {"bytes": data, "path": None}, "sha256": hashlib.sha256(data).hexdigest()}
        row |= {"size_bytes": len(data), "caption": _caption(number, caption), "onset_ms": 2000.0, "apex_ms": 2150.0}
        row |= {name: draw.choice(labels) for name, labels in schema.LABELS.items() if row[name] is _TEXT}
        row |= {name: draw.choice(labels) for name, labels in schema.LABELS.items() if name.startswith("source_")}
        yield row | {"offset_ms": 2300.0, "twin_id": None, "twin_contrast": None, "seed": draw.getrandbits(63)}


_TEXT = "packaged"


def _value(kind: pa.DataType, draw: random.Random) -> Any:
    if pa.types.is_struct(kind):
        return {child.name: _value(child.type, draw) for child in kind} if kind != schema.ACTION_UNIT else _UNIT
    if pa.types.is_list(kind):
        return [_value(kind.value_type, draw) for _ in range(2)]
    if pa.types.is_floating(kind):
        return draw.random()
    return draw.randrange(10) if pa.types.is_integer(kind) else _TEXT if pa.types.is_string(kind) else None


_UNIT = {"au": 12, "side": "L", "intensity": "B"}


def _caption(number: int, version: str) -> str:
    return " ".join(random.Random(f"{number} {version}").choices(WORDS, k=20))


def made(path: Path, clips: int, size: int, shard_rows: int = 64) -> Table:
    """A workspace, written shard by shard."""
    table = Table.create(path, shard_rows=shard_rows)
    rows: list[dict[str, Any]] = []
    for row in plan(clips, size):
        rows.append(row)
        if len(rows) == shard_rows:
            add_rows(table, rows)
            rows = []
    if rows:
        add_rows(table, rows)
    return table


def recaption(table: Table, version: str) -> None:
    """Write every caption anew."""
    number = 0
    for index in table.shards():
        rows = table.read(index, schema.GROUPS["caption"].names).to_pylist()
        new = [row | {"caption": _caption(number + k, version)} for k, row in enumerate(rows)]
        write_shard(table, "caption", index, new)
        number += len(rows)


def reuse(folder: Path) -> dict[str, float]:
    """Shares of pages, and of their bytes, that a second version shares with the first, in per cent."""
    found: dict[str, float] = {}
    for kind, clips, size in (("data", PAGED, PAGED_BYTES), ("metadata", CLIPS // 5, 1)):
        table = made(folder / kind, clips, size)
        early = _early(table)
        for how, chunked in (("", True), (" plain", False)):
            with mock.patch.object(hub, "LayoutFile", functools.partial(LayoutFile, chunked=chunked)):
                first = _written(table, folder / "first", kind)
                third = _written(table, folder / "third", kind, without=early)
                recaption(table, "v2")
                second = _written(table, folder / "second", kind)
                recaption(table, "v1")
            for name, version in (("re-captioned", second), ("moved", third)):
                shares = shared(first, version)
                found[f"{kind} {name}{how} %"], found[f"{kind} {name}{how} pages %"] = shares
    return found


def _early(table: Table) -> set[str]:
    """The second clip of each split and emotion."""
    seen: dict[Any, int] = {}
    chosen = set()
    for row in table.rows(["split", "emotion"]):
        key = row["split"], row["emotion"]
        seen[key] = seen.get(key, 0) + 1
        if seen[key] == 2:
            chosen.add(row["clip_id"])
    return chosen


def _written(table: Table, out: Path, kind: str, **options: Any) -> list[tuple[bytes, int]]:
    subprocess.run(["rm", "-rf", str(out)], check=True)
    hub.write_layout(table, out, progress=False, **options)
    return [page for path in sorted(out.glob(f"{kind}/**/*.parquet")) for page in pages(path)]


def shared(before: list[tuple[bytes, int]], after: list[tuple[bytes, int]]) -> tuple[float, float]:
    """The share of bytes, and of pages, that are there already, in per cent."""
    known = {digest for digest, _ in before}
    kept = [size for digest, size in after if digest in known]
    return 100 * sum(kept) / sum(size for _, size in after), 100 * len(kept) / len(after)


def pages(path: Path) -> Iterator[tuple[bytes, int]]:
    """Digest and size in bytes of every page of a Parquet file, as it is stored, its header left out."""
    metadata = pq.read_metadata(path)
    with path.open("rb") as handle:
        for group in range(metadata.num_row_groups):
            for leaf in range(metadata.num_columns):
                column = metadata.row_group(group).column(leaf)
                start = min(o for o in (column.dictionary_page_offset, column.data_page_offset) if o)
                handle.seek(start)
                data = handle.read(column.total_compressed_size)
                at = 0
                while at < len(data):
                    header, at = _struct(data, at)
                    size = header[3]  # compressed_page_size, in parquet.thrift's PageHeader
                    yield hashlib.sha256(data[at : at + size]).digest(), size
                    at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if not data[at - 1] & 0x80:
            return value, at


def _struct(data: bytes, at: int) -> tuple[dict[int, int], int]:
    """A struct in Thrift's compact protocol: its integers by field id, and where it ends."""
    found: dict[int, int] = {}
    field = 0
    while data[at]:
        step, kind = data[at] >> 4, data[at] & 15
        at += 1
        if not step:
            field, at = _varint(data, at)
            field = (field >> 1) ^ -(field & 1)
        field += step
        if kind in (4, 5, 6):
            value, at = _varint(data, at)
            found[field] = (value >> 1) ^ -(value & 1)
        elif kind == 8:
            length, at = _varint(data, at)
            at += length
        elif kind == 12:
            _, at = _struct(data, at)
        elif kind not in (1, 2):
            raise ValueError(f"unexpected Thrift type {kind} in a page header")
    return found, at + 1


def size(folder: Path, clips: int) -> dict[str, float]:
    """Seconds and memory of a release of all clips, and its memory over that of a tenth."""
    figures = {}
    for name, count in (("tenth", clips // 10), ("all", clips)):
        made(folder / name, count, CLIP_BYTES)
        command = [sys.executable, __file__, "--measure", str(folder / name), str(folder / f"{name}-out")]
        figures[name] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    growth = {f"{what} growth MB": figures["all"][f"{what} MB"] - figures["tenth"][f"{what} MB"] for what in STEPS}
    return figures["all"] | growth


STEPS = ("layout", "release", "preflight", "facts")


def released(workspace: Path, out: Path) -> dict[str, float]:
    """Seconds of each step, and the most memory held until its end, in MB."""
    table, figures = Table(workspace), dict[str, float]()
    nothing: dict[str, Any] = {"made": (), "planned": 0, "left_out": {}, "withdrawn": (), "sizes": {}}
    steps = (
        lambda: hub.write_layout(table, out / "layout", progress=False),
        lambda: release.make(table, out / "release", About("1.0.0", date="2026-01-01"), progress=False),
        lambda: problems(table),
        lambda: facts.gather(rows(out / "release"), About("1.0.0", date="2026-01-01"), **nothing),
    )
    for name, step in zip(STEPS, steps, strict=True):
        begun = time.perf_counter()
        step()
        figures[f"{name} s"] = time.perf_counter() - begun
        figures[f"{name} MB"] = _peak_mb()
    return figures


def rows(folder: Path) -> Iterator[pa.Table]:
    """A release's metadata, piece by piece."""
    for path in sorted(folder.glob("metadata/*.parquet")):
        with pq.ParquetFile(path) as file:
            yield from map(file.read_row_group, range(file.num_row_groups))


def _peak_mb() -> float:
    """The most this process held resident. `ru_maxrss` would begin with what its parent held."""
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024


if __name__ == "__main__":
    main()
