"""Run every benchmark and write the README's table of what they measured: `python bench/all.py [--json]`.

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
PACKAGES = ("av", "datasets", "deepface", "opencv-contrib-python-headless", "piq", "pyarrow", "torch", "torchcodec")


def claims() -> list[dict[str, Any]]:
    """What all the scripts measured, in the order of their names."""
    found = []
    for script in sorted(HERE.glob("*.py")):
        if script.name != Path(__file__).name:
            print(f"{script.name} ...", file=sys.stderr, flush=True)
            done = subprocess.run([sys.executable, script, "--json"], stdout=subprocess.PIPE, text=True, check=True)
            found += json.loads(done.stdout)["claims"]
    return found


def met(claim: dict[str, Any]) -> bool:
    """Whether the value keeps to the goal."""
    bound, number = claim["goal"].rsplit(" ", 1)
    return claim["value"] >= float(number) if bound == "at least" else claim["value"] <= float(number)


def rendered(found: list[dict[str, Any]]) -> str:
    """The table, in Markdown, and what it was measured on."""
    lines = ["| what | against | measured | goal |", "|---|---|---|---|"]
    for claim in found:
        value = f"{claim['value']:.3g}{'×' if claim['unit'] == 'x' else ' ' + claim['unit']}"
        goal = claim["goal"] + ("" if met(claim) else " (missed)")
        lines.append(f"| {claim['claim']} | {claim['against']} | {value} | {goal} |")
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    on = f"{os.cpu_count()} cores of {platform.machine()}, Python {platform.python_version()}, {packages}"
    return "\n".join([*lines, "", f"Measured on {on}.", ""])


def main() -> int:
    """Run, write, and say whether every goal was met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON in place of the table")
    parser.add_argument("--dry-run", action="store_true", help="do not write the README")
    options = parser.parse_args()
    found = claims()
    text = rendered(found)
    print(json.dumps({"claims": found}, indent=1) if options.json else text)
    if not options.dry_run:
        README.write_text(TABLE.sub(lambda _: text, README.read_text()))
    return 0 if all(map(met, found)) else 1


if __name__ == "__main__":
    sys.exit(main())
