"""What a workspace has planned so far, by subject: what planning more must continue and may not change.

Planned.read(Table("ws")).subjects["p0123"].clips["fear"]     # balanced clips of fear with that face
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from equime import schema
from equime.table import Table

COLUMNS = (
    *("clip_id", "subject_id", "source", "source_sha256", "cell", "epoch", "design", "emotion", "control"),
    *("sequence", "twin_id", "twin_contrast", "split"),
)
COUNTED = "balanced"
"""The `design` of the rows that make the balanced whole; refills stand in for some of them."""


@dataclass
class Subject:
    """One planned subject.

    Attributes:
        cell: As first planned.
        split: Where it stays.
        clips: Emotion -> balanced clips.
        last: Folder (an emotion or a control) -> highest sequence.
        swept: Whether its intensities were swept.
    """

    cell: str
    split: str
    clips: Counter[str] = field(default_factory=Counter)
    last: Counter[str] = field(default_factory=Counter)
    swept: bool = False


@dataclass
class Planned:
    """Every planned row, counted.

    Attributes:
        rows: How many.
        epochs: How many times rows were added.
        subjects: By id.
        pictures: Path of each picture used -> its sha256.
        owners: sha256 of each picture used -> its subject.
        pairs: Twin contrast -> ids of its clip pairs.
        by_emotion, by_split, by_design: Rows.
    """

    rows: int = 0
    epochs: int = 0
    subjects: dict[str, Subject] = field(default_factory=dict)
    pictures: dict[str, str] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    pairs: dict[str, set[str]] = field(default_factory=dict)
    by_emotion: Counter[str] = field(default_factory=Counter)
    by_split: Counter[str] = field(default_factory=Counter)
    by_design: Counter[str] = field(default_factory=Counter)

    @classmethod
    def read(cls, table: Table) -> Planned:
        """Count the rows of a workspace, shard by shard."""
        planned = cls()
        for index in table.shards("plan"):
            for row in table.read(index, COLUMNS).to_pylist():
                planned.add(row)
        return planned

    def add(self, row: dict[str, object]) -> None:
        """Count one row."""
        self.rows += 1
        self.epochs = max(self.epochs, int(str(row["epoch"])) + 1)
        self.pictures[str(row["source"])] = str(row["source_sha256"])
        self.owners[str(row["source_sha256"])] = str(row["subject_id"])
        subject = self.subjects.setdefault(str(row["subject_id"]), Subject(str(row["cell"]), str(row["split"])))
        folder = str(row["clip_id"]).partition("/")[0]
        subject.last[folder] = max(subject.last[folder], int(str(row["sequence"] or 0)))
        subject.swept |= row["design"] == "dose"
        if row["design"] == COUNTED:
            subject.clips[folder] += 1
        if row["twin_id"]:
            self.pairs.setdefault(str(row["twin_contrast"]), set()).add(str(row["twin_id"]))
        self.by_emotion[folder] += 1
        self.by_split[str(row["split"])] += 1
        self.by_design[str(row["design"])] += 1

    def identities(self) -> Counter[str]:
        """Cell -> subjects."""
        return Counter(subject.cell for subject in self.subjects.values())

    def clips(self) -> Counter[str]:
        """Cell -> balanced clips."""
        counts: Counter[str] = Counter()
        for subject in self.subjects.values():
            counts[subject.cell] += subject.clips.total()
        return counts

    def turns(self, subject_id: str) -> int:
        """How often the subject has been through all five emotions."""
        known = self.subjects.get(subject_id)
        return min((known.clips[emotion] for emotion in schema.EMOTIONS), default=0) if known else 0
