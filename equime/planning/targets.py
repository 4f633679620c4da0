"""The balance that is wanted, cell by cell, and how far counts are from it.

    targets = Targets.uniform()                # the same share for 2 genders x 5 age bands x 6 races
    targets = Targets.from_csv("targets.csv")  # race,share: what has no column is free

A cell reads "gender|age band|race", with "unknown" for a label that is missing. Labels are *perceived*, by whoever
made the table or by a classifier.

    equime plan WORKSPACE --faces FACES --targets targets.csv
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from types import MappingProxyType

from equime import schema
from equime.errors import EquimeError

ATTRIBUTES = ("gender", "age", "race")
"""The order of the labels in a cell."""
PRIORITY = ("race", "gender", "age")
"""The order in which balance is sought: race first, as it is the hardest to reach and the headline."""
LABELS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"gender": schema.GENDERS, "age": schema.AGE_BANDS, "race": schema.RACES}
)
UNKNOWN = "unknown"
FREE = "*"
"""In a target's cells: whatever the label is."""


# --- measures


def evenness(counts: Mapping[str, float], groups: Sequence[str]) -> float:
    """Shannon's evenness H / ln k over `groups`, 0 to 1 (Pielou 1966); counts outside them are left out.

    1 for a single group; nan where nothing is counted.
    """
    return closeness(counts, dict.fromkeys(groups, 1 / len(groups)))


def effective_groups(counts: Mapping[str, float]) -> float:
    """exp(H): the number of equally common groups that would be as diverse (Hill 1973); nan for no counts."""
    total = sum(counts.values())
    return math.exp(-sum(n / total * math.log(n / total) for n in counts.values() if n)) if total else math.nan


def divergence(counts: Mapping[str, float], shares: Mapping[str, float]) -> float:
    """Kullback-Leibler divergence in nats of the counts' shares from `shares` (all above 0); nan for no counts."""
    total = sum(counts.get(group, 0) for group in shares)
    reached = ((counts.get(group, 0) / total, share) for group, share in shares.items()) if total else ()
    return sum(p * math.log(p / share) for p, share in reached if p) if total else math.nan


def closeness(counts: Mapping[str, float], shares: Mapping[str, float]) -> float:
    """1 - KL / ln k, at least 0: evenness towards any target, and Shannon's evenness where `shares` are equal."""
    far = divergence(counts, shares)
    if math.isnan(far) or len(shares) == 1:
        return far + 1
    return max(0.0, 1 - far / math.log(len(shares)))


def ratio(counts: Mapping[str, float], groups: Iterable[str]) -> float:
    """The commonest group over the rarest; infinite where one is missing, nan for no counts."""
    found = [counts.get(group, 0) for group in groups]
    return max(found) / min(found) if min(found) else math.inf if any(found) else math.nan


def project(cell: str, attributes: Sequence[str]) -> str:
    """The labels of some attributes of a cell: ("female|18-29|asian", ["race", "gender"]) gives "asian|female"."""
    labels = dict(zip(ATTRIBUTES, cell.split("|"), strict=True))
    return "|".join(labels[attribute] for attribute in attributes)


def totals(counts: Mapping[str, float], attributes: Sequence[str]) -> dict[str, float]:
    """Counts of cells summed over the other attributes; what is unlabelled in these is left out."""
    sums: dict[str, float] = {}
    for cell, count in counts.items():
        group = project(cell, attributes)
        if UNKNOWN not in group.split("|"):
            sums[group] = sums.get(group, 0) + count
    return sums


# --- targets


@dataclass(frozen=True)
class Targets:
    """The share of identities and of clips wanted for each cell.

    `shares` maps cells to shares above 0 that sum to 1; an attribute that `attributes` does not name is free, and
    its label in the cells reads "*". `note` says what a person should know of how the shares were read.
    """

    shares: Mapping[str, float]
    attributes: tuple[str, ...] = ATTRIBUTES
    name: str = "uniform over gender x age x race"
    note: str = ""

    @classmethod
    def uniform(cls) -> Targets:
        """The same share for each of the 2 x 5 x 6 cells."""
        cells = ["|".join(labels) for labels in product(*LABELS.values())]
        return cls(dict.fromkeys(cells, 1 / len(cells)))

    @classmethod
    def from_csv(cls, path: Path) -> Targets:
        """Shares from a CSV with some of the columns gender, age and race, and `share` (any positive scale).

        Attributes without a column are free; cells without a row, or with a share of 0, are never chosen.

        Raises:
            EquimeError: No such file, other columns, an unknown label, a cell twice, a share that is not a number
                of 0 or more, or no share above 0.
        """
        rows = read_rows(path, ["share"], ATTRIBUTES)
        attributes = tuple(name for name in ATTRIBUTES if name in rows[0])
        shares: dict[str, float] = {}
        for number, row in enumerate(rows, start=2):
            where = f"{path}:{number}"
            cell = "|".join(read_label(name, row[name], where) if name in row else FREE for name in ATTRIBUTES)
            if cell in shares:
                raise EquimeError(f"{where}: the cell {cell!r} comes twice: give each one row")
            shares[cell] = _share(row["share"], where)
        total = sum(shares.values())
        if total <= 0:
            raise EquimeError(f"{path}: expected at least one share above 0")
        note = "" if math.isclose(total, 1, abs_tol=1e-6) else f"the shares sum to {total:g} and were divided by it"
        kept = {cell: share / total for cell, share in shares.items() if share}
        return cls(kept, attributes, f"{path.name} ({' x '.join(attributes)})", note)

    def groups(self, attribute: str) -> tuple[str, ...]:
        """The labels of an attribute with a share above 0, in the contract's order; all of them where it is free."""
        if attribute not in self.attributes:
            return LABELS[attribute]
        wanted = self.wanted((attribute,))
        return tuple(label for label in LABELS[attribute] if label in wanted)

    def wanted(self, attributes: Sequence[str]) -> dict[str, float]:
        """The shares summed over the other attributes, by group as `project` names it."""
        return totals(self.shares, attributes)

    @property
    def ranked(self) -> tuple[str, ...]:
        """The attributes spoken of, the first being the one that `reached` judges."""
        return tuple(attribute for attribute in PRIORITY if attribute in self.attributes)

    @property
    def levels(self) -> list[tuple[str, ...]]:
        """What to balance, in order: race, gender within race, age within race, the cell; then gender, age overall."""
        head, *rest = self.ranked
        return list(dict.fromkeys([(head,), *((head, a) for a in rest), self.ranked, *((a,) for a in rest)]))


def read_rows(path: Path, needed: Sequence[str], some: Sequence[str] = ()) -> list[dict[str, str]]:
    """The rows of a small CSV (comma, semicolon or tab) with the columns `needed` and at least one of `some`.

    Raises:
        EquimeError: No such file, not UTF-8, other columns, a row of another length, or no rows.
    """
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise EquimeError(f"cannot read {path} as a UTF-8 CSV: {error}") from error
    header = text.partition("\n")[0]
    reader = csv.reader(text.splitlines(), delimiter=max(",;\t", key=header.count))
    names = [name.strip().lower() for name in next(reader, [])]
    known = set(names) <= {*needed, *some} and len(names) == len(set(names))
    if not known or not set(needed) <= set(names) or (some and not set(some) & set(names)):
        wanted = ", ".join(needed) + (f" and some of {', '.join(some)}" if some else "")
        raise EquimeError(f"{path}: expected the columns {wanted}, got {names}")
    lines = [[value.strip() for value in line] for line in reader if any(value.strip() for value in line)]
    for line in lines:
        if len(line) != len(names):
            raise EquimeError(f"{path}: expected {len(names)} values a row ({', '.join(names)}), got {line}")
    if not lines:
        raise EquimeError(f"{path} has no rows: expected {', '.join(names)} in each")
    return [dict(zip(names, line, strict=True)) for line in lines]


def read_label(attribute: str, text: str, where: str) -> str:
    """A label of the contract, whatever its case, with spaces or underscores.

    Raises:
        EquimeError: Not one of the attribute's.
    """
    label = text.lower().replace("_", " ")
    if label not in LABELS[attribute]:
        raise EquimeError(f"{where}: {attribute} should be one of {list(LABELS[attribute])}, got {text!r}")
    return label


def _share(text: str, where: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not 0 <= share < math.inf:
        raise EquimeError(f"{where}: share should be a number of 0 or more, got {text!r}")
    return share
