"""Asking the Hub so that what is lost on the way is asked again, and what cannot be helped is one line.

    class Remote(Asking): ...
    self.ask(lambda: self.api.whoami())

Requests get lost on the way there, and answers on the way back. Reading twice does no harm; a step that must not
happen twice is given to `ask` as "look whether it has happened, else do it", so that a lost answer costs a question.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from typing import ClassVar, TypeVar

import huggingface_hub
from huggingface_hub import constants, errors

from equime import remote
from equime.errors import EquimeError
from equime.one_line import one_line
from equime.publishing.repository.retrying import again_after, lost, root, status_of

Answer = TypeVar("Answer")
MAIN = constants.DEFAULT_REVISION
DATASET = constants.REPO_TYPE_DATASET
MODEL = constants.REPO_TYPE_MODEL
AGAIN = "run the same command again; it goes on where it stopped"

_SIGNED = re.compile(r"(https?://[^\s?]+)\?[^\s'\")>]+")
"""An address and its query: where large files are sent, the query is a key that is good for an hour."""


class Asking:
    """A repository on the Hub, of a data set if a subclass does not say otherwise, and how it is asked.

    Args:
        repo: "owner/name".
        token: A string, True for the saved one, False for none, None for the saved one if any.
        tries: How often a request is made before giving up.
        wait: Called with the seconds to wait between two tries.
        endpoint: The Hub's address; None is what HF_ENDPOINT says.

    Raises:
        EquimeError: `repo` is no name of a repository, or the token cannot be one.
    """

    kind: ClassVar[str] = DATASET
    """What the Hub calls a repository of this class."""

    def __init__(
        self,
        repo: str,
        token: str | bool | None = None,
        *,
        tries: int = 6,
        wait: Callable[[float], object] = time.sleep,
        endpoint: str | None = None,
    ) -> None:
        if not remote.is_repo(repo):
            raise EquimeError(f"expected a Hub repository 'owner/name', got {repo = }")
        sent = token if isinstance(token, str) else None if token is False else huggingface_hub.get_token()
        if sent and not re.fullmatch(r"[!-~]+", sent):
            raise EquimeError(
                f"expected a token of ASCII characters without spaces, got one of {len(sent)} characters: log in with "
                "`hf auth login`, or set HF_TOKEN"
            )
        self._anonymous = not sent
        self.repo, self.tries, self._wait = repo, tries, wait
        self.api = huggingface_hub.HfApi(endpoint, token=token)

    @property
    def url(self) -> str:
        """The repository's page."""
        return f"{self.api.endpoint}/{'' if self.kind == MODEL else f'{self.kind}s/'}{self.repo}"

    def ask(self, asking: Callable[[], Answer], revision: str = MAIN) -> Answer:
        """What a question or step answers, asked again while that can help.

        Raises:
            EquimeError: The Hub refused, or did not answer in `tries` tries.
        """
        try:
            return self.tried(asking)
        except EquimeError:
            raise
        except Exception as error:  # the client raises a dozen kinds, of several HTTP libraries
            raise self.explained(error, revision) from error

    def tried(self, asking: Callable[[], Answer]) -> Answer:
        """As `ask`, with the client's own errors."""
        for attempt in range(self.tries - 1):
            try:
                return asking()
            except Exception as error:  # as in `ask`
                if not lost(error):
                    raise
                self._wait(again_after(error, attempt))
        return asking()

    def explained(self, error: Exception, revision: str) -> EquimeError:
        """The one line that says what the user can do; the token is not in it."""
        if isinstance(error, errors.GatedRepoError | errors.RevisionNotFoundError):  # which who reads meets, too
            try:
                with remote.explained(self.repo, revision, self.url):
                    raise error
            except EquimeError as known:
                return known
        return EquimeError(self._explanation(error))

    def _explanation(self, error: Exception) -> str:
        hub, status = self.api.endpoint, status_of(error)
        if constants.HF_HUB_OFFLINE:
            return f"HF_HUB_OFFLINE is set, and this cannot be done without {hub}: unset it, and {AGAIN}"
        if isinstance(error, errors.LocalTokenNotFoundError):
            return f"no token for {hub}: log in with `hf auth login`, or set HF_TOKEN"
        if status == 401 and self._anonymous:
            return f"{hub} wants to know who asks for {self.repo} (401): log in with `hf auth login`, or set HF_TOKEN"
        if status == 401:
            return (
                f"the Hub does not take the token sent for {self.repo} (401), which may have expired: log in again "
                f"with `hf auth login` (or set HF_TOKEN) and {AGAIN}"
            )
        if status == 403:
            return (
                f"the Hub does not let this token do that at {self.repo} (403): it must be able to write there; see "
                f"{hub}/settings/tokens, log in with `hf auth login`, and {AGAIN}"
            )
        if lost(error):
            return f"{hub} did not answer in {self.tries} tries ({_first_line(root(error))}): wait, and {AGAIN}"
        if isinstance(error, errors.RepositoryNotFoundError):
            what = "model" if self.kind == MODEL else "data set"
            return (
                f"there is no {what} {self.repo} at {hub} that this token sees: see how it is spelt, or log in with "
                "`hf auth login` as one who may"
            )
        return f"the Hub refused what was asked of {self.repo}: {_first_line(root(error))}; see {self.url}"


def _first_line(error: BaseException) -> str:
    said = getattr(error, "server_message", None) or str(error)
    line = next((line for line in said.splitlines() if line.strip()), type(error).__name__)
    return one_line(_SIGNED.sub(r"\1", line))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the client's own progress bars: publishing has one for the whole."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    if are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()
