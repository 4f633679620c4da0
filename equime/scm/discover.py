"""Is the plan what the causal model says? Causal discovery over its rows, by FCI.

Why: the model claims that who is shown has no arrow into emotion or units, and that emotion has one into units. FCI
(Spirtes, Glymour and Scheines 2000, as in causal-learn) looks for both in the rows alone, allowing for hidden common
causes. It is told that nothing causes a demographic attribute and that no unit causes emotion; that demographics
touch neither emotion nor units is not told, but found or not.

    equime causal discover ws                       pip install "equime[causal]"
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
import numpy.typing as npt

from equime.errors import EquimeError
from equime.optional import need

ATTRIBUTES = ("gender", "age", "race")
"""Perceived attributes of the source, where the rows have them."""
LEAST_SHARE = 0.02
"""Units in fewer rows (or absent from fewer) are left out: tests on nearly empty cells say little."""
MOST_UNITS = 12
"""The search grows exponentially with what hangs together: of more units, the most frequent."""


@dataclass(frozen=True)
class Edge:
    """Two variables that FCI could not make independent.

    Attributes:
        first, second: "emotion", "gender", "age", "race" or "AU 12".
        mark: how the ends are marked: "-->" first causes second; "<->" neither causes the other, something hidden
            causes both; "o->" second does not cause first; "o-o" nothing is known of the direction.
    """

    first: str
    second: str
    mark: str

    def __str__(self) -> str:
        """Such as "emotion --> AU 12"."""
        return f"{self.first} {self.mark} {self.second}"


def discover(rows: Iterable[Mapping[str, Any]], alpha: float = 0.01) -> list[Edge]:
    """Edges that the rows of a plan speak for.

    Args:
        rows: with `emotion`, `action_units`, and some of `source_gender`, `source_age`, `source_race`; rows without
            emotion (controls) are left out. Rows are taken as independent draws: of several rows that share their
            noise (twins, dose sweeps) give one.
        alpha: level of each chi-squared test of conditional independence.

    Returns:
        The edges, in order of their names. Units are found to depend on each other even where the model draws them
        apart: every clip has at least one, so a clip without the one more often has the other.

    Raises:
        EquimeError: alpha is no level, or fewer than 100 rows have an emotion.
    """
    if not 0 < alpha < 1:
        raise EquimeError(f"expected a level between 0 and 1, got {alpha = }; correct --alpha")
    names, table = tabulate([row for row in rows if row.get("emotion")])
    search = need("causallearn.search.ConstraintBased.FCI", extra="causal")
    nodes = need("causallearn.graph.GraphNode", extra="causal")
    knowledge = need("causallearn.utils.PCUtils.BackgroundKnowledge", extra="causal").BackgroundKnowledge()
    known = {name: nodes.GraphNode(name) for name in names}
    for cause, effect in permutations(names, 2):
        if effect in ATTRIBUTES or (effect == "emotion" and cause not in ATTRIBUTES):
            knowledge.add_forbidden_by_node(known[cause], known[effect])
    # causal-learn reports what it orients on standard output, and divides by empty cells.
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        _, edges = search.fci(
            table,
            "chisq",
            alpha,
            depth=3,
            background_knowledge=knowledge,
            show_progress=False,
            node_names=names,
        )
    return sorted(map(_edge, edges), key=lambda edge: (names.index(edge.first), names.index(edge.second)))


def tabulate(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Names of the variables that vary in the rows, and int (rows, variables): the number of each value.

    Raises:
        EquimeError: too few rows.
    """
    if len(rows) < 100:
        raise EquimeError(f"expected at least 100 rows with an emotion, got {len(rows)}; plan more clips")
    columns = {name: [str(row.get(f"source_{name}")) for row in rows] for name in ATTRIBUTES}
    columns["emotion"] = [str(row["emotion"]) for row in rows]
    clips = [{int(unit["au"]) for unit in row["action_units"] or ()} for row in rows]
    counts = Counter(au for clip in clips for au in clip)
    shares = {au: count / len(rows) for au, count in counts.most_common()}
    frequent = [au for au, share in shares.items() if LEAST_SHARE <= share <= 1 - LEAST_SHARE][:MOST_UNITS]
    columns |= {f"AU {au}": [str(au in clip) for clip in clips] for au in sorted(frequent)}
    varying = {name: np.unique(values, return_inverse=True)[1] for name, values in columns.items()}
    varying = {name: values for name, values in varying.items() if values.max() > 0}
    return list(varying), np.column_stack(list(varying.values())).astype(np.int64)


def _edge(edge: Any) -> Edge:
    ends = {"TAIL": "--", "ARROW": "<>", "CIRCLE": "oo"}
    (first, left), (second, right) = (
        (edge.get_node1().get_name(), edge.get_endpoint1().name),
        (edge.get_node2().get_name(), edge.get_endpoint2().name),
    )
    if left == "ARROW" and right != "ARROW":
        first, left, second, right = second, right, first, left
    return Edge(first, second, f"{ends[left][0]}-{ends[right][1]}")
