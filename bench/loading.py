"""Loading speed and memory at the data set's full size: `python bench/loading.py [--json] [--rows 75000]`.

Each measurement runs in a process of its own (a first row counts from the call of `load_dataset`; against
`VideoFolder`, from the imports on), on:
a workspace of all five column groups in shards of 64 (its videos are stand-ins of 5 kB; nothing here decodes them);
the metadata of the Hub layout; a tree whose clips are hard links to one tiny mp4, against `VideoFolder` on the
same tree; and a workspace of real clips of 144 frames, through one and two workers of a DataLoader.
"Cold" is without `ws/.cache` and the cache of `datasets`; files may be in the system's own cache.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
from make_clips import clip_bytes  # noqa: E402
from make_workspace import make_row  # noqa: E402

from equime import hub, schema  # noqa: E402
from equime.footer import Footer, digest, mark_of  # noqa: E402
from equime.table import Table  # noqa: E402

SHARD_ROWS, LINKS = 64, 10_000
CLIPS, FRAMES, SIZE, TAKE = 384, 144, 512, 16
STAND_IN = bytes(5000)

PREPARED = """
import equime
from datasets import load_dataset
begun = time.perf_counter()
row = load_dataset("equime", "metadata", split="train", data_dir={ws!r}, cache_dir={cache!r})[0]
result = time.perf_counter() - begun
"""
OURS = """
begun = time.perf_counter()
import equime
stream = equime.load({tree!r}, "video", streaming=True)["train"]
next(iter(stream))
result = [time.perf_counter() - begun, stream.num_shards]
"""
VIDEO_FOLDER = """
begun = time.perf_counter()
from datasets import Video, load_dataset
stream = load_dataset("videofolder", data_dir={tree!r}, split="train", streaming=True)
next(iter(stream.cast_column("video", Video(decode=False))))
result = [time.perf_counter() - begun, stream.num_shards]
"""
HUB = """
import glob
import pyarrow.parquet as pq
files = glob.glob({files!r})
times = []
for turn in range(7):
    begun = time.perf_counter()
    rows = sum(len(pq.read_table(file, partitioning=None)) for file in files)
    times.append(time.perf_counter() - begun)
result = [sorted(times)[3], rows]
"""
MEMORY = """
import re
import equime
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
rows = 0
for split in equime.load({ws!r}, {config!r}, streaming=True).values():
    for row in split:
        rows += 1
        if rows == 1000:
            early = peak()
result = [peak() - early, early, rows]
"""
WORKERS = """
import equime, torch
stream = equime.load({ws!r}, "video", "train", streaming=True, columns=["emotion"],
                     num_frames={take}, size=224, around="apex")
loader = torch.utils.data.DataLoader(stream, batch_size=4, num_workers={workers})
for number, batch in enumerate(loader):
    if number == 7:
        begun = time.perf_counter()
result = (number - 7) * 4 / (time.perf_counter() - begun)
"""


def write(table: Table, group: str, index: int, rows: pa.Table) -> None:
    """One shard as `equime` writes it, made of its ids alone."""
    mark = mark_of(group, 1, {}, {"clip_id": digest(rows["clip_id"])})
    table.write(group, index, rows, Footer(group, 1, mark))


def workspace(path: Path, rows: int, video: bytes | None, groups: tuple[str, ...]) -> Table:
    """A workspace whose shards repeat 64 plausible rows under their own ids."""
    table = Table.create(path, shard_rows=SHARD_ROWS)
    made = [make_row(k, k, 0, schema.EMOTIONS[k % 5]) for k in range(SHARD_ROWS)]
    for row in made:
        row["video"] = {"bytes": video or STAND_IN, "path": None}
        row |= {"apex": FRAMES // 2, "num_frames": FRAMES, "sha256": None, "split": "train" if video else row["split"]}
    templates = {
        g: pa.Table.from_pylist([{n: r.get(n) for n in schema.GROUPS[g].names} for r in made], schema=schema.GROUPS[g])
        for g in groups
    }
    for index, start in enumerate(range(0, rows, SHARD_ROWS)):
        count = min(SHARD_ROWS, rows - start)
        ids = [f"{schema.EMOTIONS[k % 5]}/f_{start + k}_0" for k in range(count)]
        for group, template in templates.items():
            write(table, group, index, template.slice(0, count).set_column(0, "clip_id", pa.array(ids)))
    return table


def metadata_files(table: Table, out: Path) -> Path:
    """The metadata part of the Hub layout, in the writer's row groups and compression."""
    from equime.catalog import load

    rows = load(table).rows.select(hub.METADATA.names)
    out.mkdir()
    for split in schema.SPLITS:
        part = rows.filter(pa.compute.equal(rows["split"], split))
        pq.write_table(part, out / f"{split}.parquet", compression="ZSTD", row_group_size=hub.METADATA_ROW_GROUP)
    return out


def tree(root: Path, clips: int) -> Path:
    """A released tree of hard links, without JSON."""
    data = clip_bytes()
    for number in range(clips):
        if number % LINKS == 0:
            source = root.parent / f"source{number}.mp4"
            source.write_bytes(data)
        folder = root / schema.EMOTIONS[number % 5]
        if number < 5:
            folder.mkdir(parents=True)
        os.link(source, folder / f"{'fm'[number // 5 % 2]}_{number // 15}_{number:05d}.mp4")
    return root


def run(code: str, home: Path, **values: Any) -> Any:
    """What a fresh process leaves in `result`."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
    environment = kept | {"PYTHONPATH": str(ROOT), "HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    if "videofolder" in code:
        environment = environment | libraries(home)
    script = "import json, time\n" + code.format(**values) + "\nprint('\\n' + json.dumps(result))"
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def libraries(home: Path) -> dict[str, str]:
    """Where torchcodec finds FFmpeg; `VideoFolder` wants it even to pass bytes on."""
    from ffmpeg_libs import environment

    home.joinpath("libraries").mkdir(exist_ok=True)
    return environment(home / "libraries")


def measure(folder: Path, rows: int, clips: int) -> dict[str, float]:
    """Every figure, by name."""
    found: dict[str, float] = {}
    table = workspace(folder / "ws", rows, None, tuple(schema.GROUPS))
    where = {"ws": str(table.path), "cache": str(folder / "cache")}
    found["first row cold, s"] = run(PREPARED, folder, **where)
    found["first row warm, s"] = min(run(PREPARED, folder, **where) for _ in range(3))
    files = metadata_files(table, folder / "metadata")
    found["hub metadata, s"], found["rows"] = run(HUB, folder, files=f"{files}/*.parquet")
    for config in ("metadata", "video"):
        grown, early, _ = run(MEMORY, folder, ws=str(table.path), config=config)
        found[f"streaming {config} grows by, MB"], found[f"first 1,000 rows of {config}, MB"] = grown, early
    root = tree(folder / "tree", rows)
    found["tree first row, s"], found["tree shards"] = run(OURS, folder, tree=str(root))
    found["VideoFolder first row, s"], found["VideoFolder shards"] = run(VIDEO_FOLDER, folder, tree=str(root))
    real = workspace(folder / "real", clips, clip_bytes(FRAMES, SIZE), ("plan", "generate"))
    for workers in (1, 2):
        name = f"clips per second, workers={workers}"
        found[name] = run(WORKERS, folder, ws=str(real.path), workers=workers, take=TAKE)
    found["tree against VideoFolder, x"] = found["VideoFolder first row, s"] / found["tree first row, s"]
    found["two workers against one, x"] = found["clips per second, workers=2"] / found["clips per second, workers=1"]
    return found


def claims(found: dict[str, float], rows: int) -> list[dict[str, Any]]:
    """What the README says of these figures."""
    many = f"{rows:,} rows"
    table = [
        (f"metadata of {many} from the Hub layout", "-", "hub metadata, s", "s", "at most 0.1"),
        (f"first of {many} of a workspace, warm", "-", "first row warm, s", "s", "at most 1.5"),
        (f"first of {many} of a workspace, cold", "-", "first row cold, s", "s", "at most 4"),
        (f"first row of a tree of {rows:,} clips", "VideoFolder", "tree against VideoFolder, x", "x", "at least 5"),
        (f"memory growth, streaming {many}", "first 1,000 rows", "streaming video grows by, MB", "MB", "at most 100"),
        ("two DataLoader workers", "one", "two workers against one, x", "x", "at least 1.7"),
    ]
    return [
        {"claim": claim, "against": against, "value": found[name], "unit": unit, "goal": goal}
        for claim, against, name, unit, goal in table
    ]


def main() -> None:
    """Print the figures, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=75_000, help="clips of the workspace and the tree")
    parser.add_argument("--clips", type=int, default=CLIPS, help="real clips for the DataLoader")
    parser.add_argument("--json", action="store_true", help="print JSON in place of the table")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), options.rows, options.clips)
    said = claims(found, options.rows)
    if options.json:
        print(json.dumps({"claims": said, "figures": found}, indent=1))
        return
    for name, value in found.items():
        print(f"{name:40s} {value:10.2f}")
    for claim in said:
        print(f"{claim['claim']:55s} {claim['value']:8.3g} {claim['unit']:3s} (goal: {claim['goal']})")


if __name__ == "__main__":
    main()
