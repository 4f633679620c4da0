r"""What papers report, to stand beside what is measured here, each number with where it was seen.

Why marked: much of it was chosen on the test fold, and some is of other clips. "V" was read in the source
named, "M" is known by hearsay and not checked. UF1 and UAR are listed as reported; that they are of pooled counts is
the challenge's rule, and only MEB's says so. The three rows of the reference's transfer to SAMM are its macro F1: one
is that of a constant answer (.258), one is below it.

    [row for row in PUBLISHED if row.protocol == "cde" and row.subset == "all"]
    "\n".join(published_lines("cde"))              # a table in Markdown
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Published(NamedTuple):
    """One reported result.

    Attributes:
        protocol: "cde" (MEGC 2019's composite), "synthetic-to-real" (EquiME to SAMM), "casme3-a" (that set alone).
        method: As its authors call it.
        year: Of publication; None where the source does not say.
        subset: The data set that the score is of, or "all".
        uf1: Unweighted F1; None where only UAR is reported.
        uar: Unweighted average recall.
        mark: "V" read in the source named, "M" not checked.
        source: Where.
    """

    protocol: str
    method: str
    year: int | None
    subset: str
    uf1: float | None
    uar: float | None
    mark: str
    source: str


PUBLISHED: Final = tuple(
    Published(*row)
    for row in (
        ("cde", "LBP-TOP", 2019, "all", 0.5882, 0.5785, "M", "See et al. MEGC2019"),
        ("cde", "LBP-TOP", 2019, "casme2", 0.7026, None, "V", "See et al. MEGC2019 T4"),
        ("cde", "Bi-WOOF", 2019, "all", 0.6296, 0.6227, "M", "See et al."),
        ("cde", "Bi-WOOF", 2019, "casme2", 0.7805, None, "V", "See et al. T4"),
        ("cde", "CapsuleNet", 2019, "all", 0.652, 0.6506, "M", "See et al."),
        ("cde", "CapsuleNet", 2019, "casme2", 0.7068, None, "V", "See et al. T4"),
        ("cde", "OFF-ApexNet", 2019, "all", 0.7196, 0.7096, "M", "See et al."),
        ("cde", "OFF-ApexNet", 2019, "casme2", 0.8764, None, "V", "See et al. T4"),
        ("cde", "Dual-Inception", 2019, "all", 0.7322, 0.7278, "M", "See et al."),
        ("cde", "Dual-Inception", 2019, "casme2", 0.8621, None, "V", "See et al. T4"),
        ("cde", "STSTNet", 2019, "all", 0.7353, 0.7605, "V", "paper/README"),
        ("cde", "STSTNet", 2019, "smic-hs", None, 0.7013, "V", "README"),
        ("cde", "STSTNet", 2019, "casme2", 0.8382, 0.8686, "V", "README"),
        ("cde", "STSTNet", 2019, "samm", None, 0.681, "V", "README"),
        ("cde", "STSTNet-pytorch-no-best-epoch", 2022, "all", 0.7209, 0.725, "V", "README"),
        ("cde", "RCN-A", 2020, "all", 0.7432, 0.719, "M", "paper"),
        ("cde", "SSSNet (MEB)", 2024, "all", 0.7394, None, "V", "2211.11425"),
        ("cde", "SSSNet (MEB)", 2024, "smic-hs", 0.6991, None, "V", "2211.11425"),
        ("cde", "SSSNet (MEB)", 2024, "casme2", 0.8517, None, "V", "2211.11425"),
        ("cde", "SSSNet (MEB)", 2024, "samm", 0.6023, None, "V", "2211.11425"),
        ("cde", "EMR", 2019, "all", 0.7885, 0.7824, "M", "See et al."),
        ("cde", "EMR", 2019, "casme2", 0.8293, None, "V", "See et al. T4"),
        ("cde", "SLSTT", 2022, "all", 0.816, 0.79, "V", "later comparison table"),
        ("cde", "SLSTT", 2022, "smic-hs", 0.74, None, "V", "later comparison table"),
        ("cde", "SLSTT", 2022, "casme2", 0.901, None, "V", "later comparison table"),
        ("cde", "SLSTT", 2022, "samm", 0.715, None, "V", "later comparison table"),
        ("cde", "FRL-DGT", 2023, "all", 0.812, 0.811, "M", "paper"),
        ("cde", "FRL-DGT", 2023, "samm", 0.772, None, "V", "later comparison table"),
        ("cde", "HTNet", 2023, "all", 0.8603, 0.8475, "V", "comparison tables"),
        ("cde", "HTNet", 2023, "smic-hs", 0.8049, None, "V", "comparison tables"),
        ("cde", "HTNet", 2023, "casme2", 0.9532, None, "V", "comparison tables"),
        ("cde", "HTNet", 2023, "samm", 0.8131, None, "V", "comparison tables"),
        ("cde", "SRMCL", None, "all", 0.863, 0.883, "V", "comparison tables"),
        ("cde", "SRMCL", None, "smic-hs", 0.7946, None, "V", "comparison tables"),
        ("cde", "SRMCL", None, "casme2", 0.9635, None, "V", "comparison tables"),
        ("cde", "SRMCL", None, "samm", 0.847, None, "V", "comparison tables"),
        ("cde", "Ra-ICL", 2026, "all", 0.8805, 0.8911, "V", "comparison tables"),
        ("cde", "Ra-ICL", 2026, "smic-hs", 0.8179, None, "V", "comparison tables"),
        ("cde", "Ra-ICL", 2026, "casme2", 0.962, None, "V", "comparison tables"),
        ("cde", "Ra-ICL", 2026, "samm", 0.8668, None, "V", "comparison tables"),
        ("cde", "LTR3O", None, "all", 0.8931, 0.8819, "V", "comparison tables"),
        ("cde", "LTR3O", None, "smic-hs", 0.8336, None, "V", "comparison tables"),
        ("cde", "LTR3O", None, "casme2", 0.9578, None, "V", "comparison tables"),
        ("cde", "LTR3O", None, "samm", 0.8912, None, "V", "comparison tables"),
        ("cde", "D-FACE", 2026, "all", 0.8943, 0.8967, "V", "comparison tables"),
        ("cde", "D-FACE", 2026, "smic-hs", 0.8422, None, "V", "comparison tables"),
        ("cde", "D-FACE", 2026, "casme2", 0.9738, None, "V", "comparison tables"),
        ("cde", "D-FACE", 2026, "samm", 0.8716, None, "V", "comparison tables"),
        ("cde", "CausalNet", 2025, "all", 0.8976, 0.902, "V", "comparison tables"),
        ("cde", "CausalNet", 2025, "smic-hs", 0.839, None, "V", "comparison tables"),
        ("cde", "CausalNet", 2025, "casme2", 0.9811, None, "V", "comparison tables"),
        ("cde", "CausalNet", 2025, "samm", 0.878, None, "V", "comparison tables"),
        ("cde", "MFDAN", None, "all", None, 0.8688, "V", "paper"),
        ("cde", "SOFP", 2026, "all", 0.9284, 0.9293, "V", "10.1016/j.patcog.2026.113199"),
        ("casme3-a", "MER-CLIP", None, "3 classes", 0.7832, None, "V", "comparison tables"),
        ("casme3-a", "Ra-ICL", None, "3 classes", 0.7585, None, "V", "comparison tables"),
        ("casme3-a", "Lite-Point-GCN", None, "3 classes", 0.6819, None, "V", "comparison tables"),
        ("casme3-a", "D-FACE", None, "4 classes", 0.6807, 0.6469, "V", "comparison tables"),
        ("casme3-a", "MER-CLIP", None, "4 classes", 0.6544, 0.6242, "V", "comparison tables"),
        ("casme3-a", "Ra-ICL", None, "4 classes", 0.6103, None, "V", "comparison tables"),
        ("casme3-a", "mu-BERT", None, "4 classes", 0.4718, 0.4913, "V", "comparison tables"),
        ("casme3-a", "MER-CLIP", None, "7 classes", 0.4997, None, "V", "comparison tables"),
        ("casme3-a", "Ra-ICL", None, "7 classes", 0.4432, None, "V", "comparison tables"),
        ("casme3-a", "AlexNet", None, "7 classes", 0.3, None, "V", "comparison tables"),
        ("synthetic-to-real", "Simple3DCNN", 2025, "samm, 3 classes", 0.258, None, "V", "EquiME supplement T2"),
        ("synthetic-to-real", "MobileNet", 2025, "samm, 3 classes", 0.325, None, "V", "EquiME supplement T2"),
        ("synthetic-to-real", "ResNet3D", 2025, "samm, 3 classes", 0.254, None, "V", "EquiME supplement T2"),
    )
)
"""By protocol, in the order of the sources."""


def published_lines(protocol: str) -> list[str]:
    """What papers report for a protocol as a table in Markdown, the best first; nothing where there is nothing.

    Args:
        protocol: Of `Published`. Where scores of all its clips are known, those of one data set of them are left out.
    """
    rows = [row for row in PUBLISHED if row.protocol == protocol]
    rows = [row for row in rows if row.subset == "all"] or rows
    if not rows:
        return []
    return [
        "",
        f"Reported for {protocol}; M: seen only at second hand. Some are known to have chosen the epoch on the test.",
        "",
        "| method | year | clips | UF1 | UAR | |",
        "|---|---|---|---|---|---|",
        *(
            f"| {r.method} | {r.year or ''} | {r.subset} | {_cell(r.uf1)} | {_cell(r.uar)} | {r.mark} |"
            for r in sorted(rows, key=lambda row: -(row.uf1 or 0))
        ),
    ]


def _cell(score: float | None) -> str:
    return "" if score is None else f"{score:.3f}"
