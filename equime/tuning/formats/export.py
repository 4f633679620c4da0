"""A data set as files that trainers of vision-language models read: questions and answers, and each clip written once.

    from equime.tuning.formats.export import Export, export
    export("ws", "out", Export("trl", view="apex"))          # or a release, a tree, OWNER/NAME[@VERSION] on the Hub

    equime export-vlm ws --format trl --out out

`out` holds a file for each split (by subject: no face is in two), the clips, `README.md` (how to load it, how to sample
it, what it may be used for) and, written last, `export.json`. Everything is relative to `out`, nothing of the source
pictures is in it, and nothing is left out unsaid. Emotions are *intended*; labels of people are *perceived*, and in the
files only if they are asked for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from equime.clip import sparse
from equime.errors import EquimeError
from equime.locks import hold
from equime.one_line import one_line
from equime.options import result_fields
from equime.pieces import is_folder
from equime.publishing.comparing.snapshot import open_version
from equime.publishing.releasing import space
from equime.remote import HubRepo, is_repo
from equime.table import sweep, writing
from equime.tuning.clips import Clips
from equime.tuning.example import Example
from equime.tuning.examples.draw import Drawn, draw
from equime.tuning.formats import i2v, media, readme, trl
from equime.tuning.formats.markup import markup
from equime.tuning.formats.media import Cut, Shown
from equime.tuning.formats.options import Export
from equime.tuning.formats.texts import MANIFEST, write_texts
from equime.wording import counted


@dataclass
class Exported:
    """What was written.

    Attributes:
        out: The folder.
        manifest: What `export.json` says.
        failed: Of clips that cannot be shown, by clip_id, why.
        written: Clips written by this run; the others were there.
        notes: What a user should know.
    """

    out: Path
    manifest: dict[str, Any]
    failed: dict[str, str] = field(default_factory=dict)
    written: int = 0
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """A few lines for people."""
        parts = [
            f"{split} {counted(part['examples'], 'example')} of {counted(part['subjects'], 'subject')}"
            for split, part in self.manifest["splits"].items()
        ]
        of = self.manifest["media"]
        lines = [*self.notes, f"{'; '.join(parts)}; {counted(of['clips'], 'clip')}, {of['bytes'] / 1e6:.1f} MB"]
        return "\n".join([*lines, f"wrote {self.out} ({self.written} clips now): see {self.out / readme.NAME}"])


def export(where: str, out: Path | str, options: Export | None = None, *, progress: bool = True) -> Exported:
    """Write a data set for a trainer; a run that was stopped goes on where it was, to the same bytes.

    Args:
        where: A workspace, a release's or tree's folder, or OWNER/NAME[@VERSION] on the Hub.
        out: A new folder, or one in which the same export was begun.
        options: What.
        progress: Show clips done, the rate and the time left on a terminal.

    Raises:
        EquimeError: Nothing to export, another export in `out`, no space, or the folder cannot be written.
    """
    options, out = options or Export(), Path(out).expanduser()
    where, source = _pinned(where)
    settings = result_fields(options)
    _check_folder(out, where, settings, source["name"])
    drawn = _drawn(where, options)
    found, left = drawn.examples, drawn.left
    clips = Clips(where)
    wanted, failed = _shown(found, clips, options.cut)
    with ExitStack() as stack:
        stack.enter_context(writing(out))
        stack.enter_context(hold(out))
        written, broken = _write_media(where, out, wanted, clips, options, progress)
        failed |= broken
        kept = [example for example in found if example.clip_id not in failed]
        if not kept:
            raise EquimeError(f"no clip can be shown: {one_line(next(iter(failed.values()), 'there is none'))}")
        left |= {"examples of clips that cannot be shown": len(found) - len(kept)} if failed else {}
        manifest = write_texts(out, kept, wanted, options, source, left, failed)
    notes = [*(f"left out: {number} {why}" for why, number in left.items()), *drawn.notes]
    if options.format == "trl" and "preference" in options.held and not options.cut.is_pictured:
        notes.append(trl.NEEDS_PICTURES)
    view, any_shown = options.cut.view, next(iter(wanted.values()))
    if view and view.misses(any_shown.num_frames, any_shown.clip_fps):
        notes.append(sparse(view.frames))
    return Exported(out, manifest, failed, written, notes)


def _pinned(where: str) -> tuple[str, dict[str, str]]:
    """The data set, of a repository at its commit, and what the manifest says of it: no path of this machine."""
    if is_folder(where):
        kept = open_version(where).source.fingerprint()
        return where, {
            "name": Path(where).expanduser().resolve().name,
            "fingerprint": hashlib.sha256(kept.encode()).hexdigest(),
        }
    repo, _, revision = where.partition("@")
    if not is_repo(repo):
        raise EquimeError(f"expected a folder, or a repository on the Hub as OWNER/NAME[@VERSION], got {where!r}")
    pinned = HubRepo(repo, revision or None).fingerprint()
    return pinned, {"name": repo, "fingerprint": pinned}


def _check_folder(out: Path, where: str, settings: Mapping[str, Any], source: str) -> None:
    if out.exists() and not out.is_dir():
        raise EquimeError(f"expected a folder to write, {out} is a file")
    if is_folder(where) and Path(where).expanduser().resolve() in (out.resolve(), *out.resolve().parents):
        raise EquimeError(f"expected a folder outside {where}, got {out}")
    with writing(out):
        is_ours = (out / ".lock").is_file()
        if out.is_dir() and not is_ours and any(out.iterdir()):
            raise EquimeError(f"expected a new folder, or one of an export that was begun: {out} holds something else")
        before = (out / MANIFEST).read_bytes() if (out / MANIFEST).is_file() else None
    if before is None:
        return
    try:
        said = json.loads(before)
        said = said["options"] | {"source": said["source"]["name"]}
        asked = json.loads(json.dumps({**settings, "source": source}))
        differ = [f"{name} {said[name]!r}" for name in asked if said[name] != asked[name]]
    except (ValueError, KeyError, TypeError) as error:
        raise EquimeError(f"{out / MANIFEST} does not read: delete {out} and export again") from error
    if differ:
        raise EquimeError(f"{out} holds another export ({', '.join(differ)}): name another folder")


def _drawn(where: str, options: Export) -> Drawn:
    """What is asked, and how much was left out, by why."""
    tasks = options.held or i2v.DRAWN
    drawn = draw(
        where, tasks, labels=options.labels, seed=options.seed, splits=options.splits or None, limit=options.limit
    )
    found, left, notes = drawn.examples, drawn.left, drawn.notes
    if options.format == "i2v":
        (found, without), notes = i2v.prompted(where, found), []  # prompts are the words there, not captions
        left |= {"clips without a prompt": without} if without else {}
    kept = []
    for example in found:
        token = next(filter(None, map(markup, (example.question, example.answer, example.rejected or ""))), None)
        if token is None:
            kept.append(example)
        else:
            why = f"examples with markup such as {token} in their words"
            left[why] = left.get(why, 0) + 1
    if not kept:
        raise EquimeError(f"{where} has nothing to export as {options.format}: left out {left or 'nothing'}")
    return Drawn(kept, left, notes)


def _shown(examples: Sequence[Example], clips: Clips, cut: Cut) -> tuple[dict[str, Shown], dict[str, str]]:
    """What is shown of each clip, and of the others why they cannot be."""
    wanted: dict[str, Shown] = {}
    failed: dict[str, str] = {}
    for clip_id in dict.fromkeys(example.clip_id for example in examples):
        try:
            wanted[clip_id] = cut.shown(clips.facts(clip_id))
        except EquimeError as error:
            failed[clip_id] = str(error)
    return wanted, failed


def _write_media(
    where: str, out: Path, wanted: Mapping[str, Shown], clips: Clips, options: Export, progress: bool
) -> tuple[int, dict[str, str]]:
    for folder in ("clips", "pictures", "references", "frames"):
        for inside in (out / folder).rglob("*") if (out / folder).is_dir() else ():
            if inside.is_dir():
                sweep(inside)
    jobs = [(clip_id, shown) for clip_id, shown in wanted.items() if media.missing(out, shown)]
    sizes = open_version(where).read(["clip_id", "width", "height", "size_bytes"]) if jobs else None
    rows = {row["clip_id"]: row for row in sizes.to_pylist()} if sizes is not None else {}
    space.require(out, sum(options.cut.size(shown, rows[clip_id]) for clip_id, shown in jobs))
    failed = media.write(out, jobs, clips, options.cut, workers=options.workers, progress=progress)
    return len(jobs) - len(failed), failed
