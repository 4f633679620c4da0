"""Run every benchmark and write the README's table of what they measured: `python bench/all.py [--json]`.

`--only recognise tag` runs just those and leaves the other rows of the table as they are.

Each script beside this one prints, with `--json`, a list `claims` of {claim, against, value, unit, goal}, where a
`goal` reads "at least 1.4" or "at most 4". Nothing in the table is typed by hand; `--dry-run` leaves the README.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
README = HERE.parent / "README.md"
TABLE = re.compile(r"(?<=<!-- bench:begin -->\n).*?(?=<!-- bench:end -->)", re.S)
HEAD = ("| what | against | measured | goal |", "|---|---|---|---|")
PACKAGES = ("av", "datasets", "deepface", "opencv-contrib-python-headless", "piq", "pyarrow", "torch", "torchcodec")


def scripts() -> list[str]:
    """The names of the benchmarks."""
    return sorted(script.stem for script in HERE.glob("*.py") if script.name != Path(__file__).name)


def claims(names: list[str]) -> list[dict[str, Any]]:
    """What these scripts measured, in this order."""
    found = []
    for name in names:
        print(f"{name}.py ...", file=sys.stderr, flush=True)
        command = [sys.executable, HERE / f"{name}.py", "--json"]
        found += json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)["claims"]
    return found


def met(claim: dict[str, Any]) -> bool:
    """Whether the value keeps to the goal."""
    bound, number = claim["goal"].rsplit(" ", 1)
    return claim["value"] >= float(number) if bound == "at least" else claim["value"] <= float(number)


def row(claim: dict[str, Any]) -> str:
    """A line of the table."""
    value = f"{claim['value']:.3g}{'×' if claim['unit'] == 'x' else ' ' + claim['unit']}"
    goal = claim["goal"] + ("" if met(claim) else " (missed)")
    return f"| {claim['claim']} | {claim['against']} | {value} | {goal} |"


def merged(rows: list[str], new: list[str]) -> list[str]:
    """Rows of a table, with new ones in the place of those about the same, or else at the end."""
    newest = {_about(line): line for line in new}
    kept = [newest.pop(_about(line), line) for line in rows]
    return kept + list(newest.values())


def _about(line: str) -> str:
    """A row's first two cells without their figures, which are measured too."""
    return re.sub(r"\d+(\.\d+)?", "#", "|".join(line.split("|")[1:3]))


def rendered(rows: list[str]) -> str:
    """The table, in Markdown, and what it was measured on."""
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    on = f"{os.cpu_count()} cores of {platform.machine()}, Python {platform.python_version()}, {packages}"
    return "\n".join([*HEAD, *rows, "", f"Measured on {on}.", ""])


def main() -> int:
    """Run, write, and say whether every goal was met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON in place of the table")
    parser.add_argument("--dry-run", action="store_true", help="do not write the README")
    parser.add_argument("--only", nargs="+", choices=scripts(), metavar="NAME", help=", ".join(scripts()))
    options = parser.parse_args()
    found, readme = claims(options.only or scripts()), README.read_text()
    rows = [row(claim) for claim in found]
    if options.only and (table := TABLE.search(readme)):
        rows = merged([line for line in table[0].splitlines()[len(HEAD) :] if line.startswith("|")], rows)
    text = rendered(rows)
    print(json.dumps({"claims": found}, indent=1) if options.json else text)
    if not options.dry_run:
        README.write_text(TABLE.sub(lambda _: text, readme))
    return 0 if all(map(met, found)) else 1


if __name__ == "__main__":
    sys.exit(main())
