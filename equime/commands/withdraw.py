"""`equime withdraw SUBJECT REPO`: take a subject out of a published data set, and out of its past."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from equime.commands.shared import say, warn
from equime.errors import EquimeError


def withdraw_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of `equime withdraw`."""
    parser.add_argument("subject", metavar="SUBJECT", help="the subject_id that the data set's rows have")
    parser.add_argument("repo", metavar="REPO", help="owner/name on the Hub")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.set_defaults(command=_withdraw)


def _withdraw(options: argparse.Namespace) -> int:
    from equime.publishing.repository.client import Remote
    from equime.publishing.withdrawing.withdrawal import withdraw

    def confirm(planned: Any) -> bool:
        warn(str(planned))
        if options.yes:
            return True
        if not sys.stdin.isatty():
            raise EquimeError("nothing was changed: add --yes to publish that version and delete what was before")
        sys.stderr.write("publish that version, and delete what was before for good? [y/N] ")
        sys.stderr.flush()
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    done = withdraw(Remote(options.repo), options.subject, confirm=confirm)
    if done is None:
        warn("nothing was changed")
        return 1
    say(options, done, done.to_dict())
    return 1 if done.left else 0
