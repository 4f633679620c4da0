"""The gate before anything else: nothing is sent to a repository that could be read without asking for access.

    state = secure(remote)      # made private and gated, or as it was and gated; read back, or refused

The order matters: a repository is private from its first moment, gated while it is empty, and only then filled.
"""

from __future__ import annotations

from typing import Literal

from equime.errors import EquimeError
from equime.publishing.repository.client import Remote
from equime.publishing.repository.reading import State

GATE: Literal["manual"] = "manual"
"""A person decides on every request for access."""


def secure(remote: Remote) -> State:
    """Make the repository where there is none, private; set the gate; read both back.

    One that exists keeps its visibility.

    Raises:
        EquimeError: It is public and ungated; the gate cannot be set, or does not read back as set.
    """
    state = remote.state()
    if state is None:
        remote.create_private()
        state = _seen(remote)
    require_closed(remote, state)
    if state.gated != GATE:
        remote.set_gate(GATE)
    return guarded(remote)


def require_closed(remote: Remote, state: State) -> None:
    """That not everybody can read what the repository holds.

    Raises:
        EquimeError: It is public and has no gate.
    """
    if not state.private and not state.gated:
        raise EquimeError(
            f"{remote.repo} is public and has no gate, so whatever is sent could be read by everybody at once: make it "
            f"private, or gate it, at {remote.url}/settings, and run this again"
        )


def guarded(remote: Remote) -> State:
    """The repository now, if its gate stands.

    Raises:
        EquimeError: It does not.
    """
    state = _seen(remote)
    if state.gated != GATE:
        raise EquimeError(
            f"expected the gate of {remote.repo} to be {GATE!r}, it reads back as {state.gated!r}: nothing more is "
            f"sent; see who changed it at {remote.url}/settings, and run this again"
        )
    return state


def _seen(remote: Remote) -> State:
    state = remote.state()
    if state is None:
        raise EquimeError(
            f"this token does not see {remote.repo}, though the name is taken: name a repository of your own, or log "
            "in with `hf auth login` as one who may write to it"
        )
    return state
