"""The Hub repository as a source: the Hub's layout, read through `hf://` at one pinned revision.

    load_dataset("equime", "video", streaming=True)                  # schema.REPO, or EQUIME_REPO
    equime.load("org/equime", "metadata", revision="v1.0")

What a user meets on the way (nobody has published, no access yet, a bad token, no network) is one line with the
next step.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub import constants, errors

from equime import schema
from equime.errors import EquimeError
from equime.hub_layout import HubLayout

Token = str | bool | None
_REPO = re.compile(r"[\w.-]+/[\w.-]+")
CARD = "README.md"


def default_repo() -> str:
    """The repository that `load_dataset("equime")` means."""
    return os.environ.get("EQUIME_REPO") or schema.REPO


def is_repo(where: str | os.PathLike[str]) -> bool:
    """Whether a name can be `owner/name`."""
    return bool(_REPO.fullmatch(os.fspath(where)))


class HubRepo(HubLayout):
    """A data set repository in the Hub's layout.

    Args:
        repo: "owner/name".
        revision: A branch, tag or commit; pinned to its commit when the source is made. None is "main".
        token: As `datasets` takes it: a string, True for the saved one, None for the saved one if any.

    Raises:
        EquimeError: No such repository or revision, no access, a bad token, no network and nothing kept.
    """

    def __init__(self, repo: str, revision: str | None = None, token: Token = None) -> None:
        if not is_repo(repo):
            raise EquimeError(f"expected a Hub repository 'owner/name', got {repo = }")
        self.repo, self.token = repo, token
        with explained(repo, revision):
            self.commit = _commit(repo, revision or constants.DEFAULT_REVISION, token)
        super().__init__(Path(f"hf://datasets/{repo}"))

    def fingerprint(self) -> str:
        """See `Source`."""
        return f"{self.repo}@{self.commit}"

    def labels(self) -> tuple[str, ...]:
        """See `Source`. Without a network the five, since a data set already prepared knows its own."""
        return schema.EMOTIONS if constants.HF_HUB_OFFLINE else super().labels()

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_system"}  # one for each process

    @cached_property
    def _system(self) -> huggingface_hub.HfFileSystem:
        return huggingface_hub.HfFileSystem(token=self.token)

    @property
    def _base(self) -> str:
        return f"datasets/{self.repo}@{self.commit}"

    def _list(self) -> list[str]:
        with explained(self.repo, self.commit):
            found = self._system.find(self._base)
        return [path.removeprefix(f"{self._base}/") for path in found if path.endswith(".parquet")]

    def _opened(self, path: str) -> Any:
        # Arrow joins what it needs of a row group into few requests; a cache of its own would read ahead in vain.
        return self._system.open(f"{self._base}/{path}", "rb", cache_type="none")

    @contextlib.contextmanager
    def _parquet(self, path: str) -> Iterator[Any]:
        with explained(self.repo, self.commit), self._opened(path) as handle:
            yield self._file(handle, path, pre_buffer=True)


def _commit(repo: str, revision: str, token: Token) -> str:
    """The commit of a revision; without a network, the one that this machine last saw."""
    if not constants.HF_HUB_OFFLINE:
        found = huggingface_hub.HfApi(token=token).dataset_info(repo, revision=revision).sha
        with contextlib.suppress(errors.EntryNotFoundError):  # keeps revision -> commit for later, without a network
            huggingface_hub.hf_hub_download(repo, CARD, repo_type="dataset", revision=revision, token=token)
        return str(found)
    kept = huggingface_hub.hf_hub_download(
        repo, CARD, repo_type="dataset", revision=revision, token=token, local_files_only=True
    )
    return Path(kept).parent.name


@contextlib.contextmanager
def explained(repo: str, revision: str | None) -> Iterator[None]:
    """Turn what the Hub says into one line with the next step."""
    try:
        yield
    except EquimeError:
        raise
    except Exception as error:  # the client raises a dozen kinds, of several HTTP libraries
        raise EquimeError(_explanation(error, repo, revision)) from error


def _explanation(error: Exception, repo: str, revision: str | None) -> str:
    page = f"{constants.ENDPOINT}/datasets/{repo}"
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, errors.GatedRepoError):
        login = "log in with `hf auth login` (or set HF_TOKEN), then " if status == 401 else ""
        return f"{repo} is gated: {login}ask for access at {page} and run this again once it is granted"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{repo} has no revision {revision!r}: see {page}/tree/main for those it has"
    if isinstance(error, errors.RepositoryNotFoundError):
        return (
            f"nobody has published {repo} yet, or it is private (then log in with `hf auth login`): "
            "make your own (`equime plan WORKSPACE --faces DIR`) and load it with data_dir='WORKSPACE', "
            "or name another repository in EQUIME_REPO"
        )
    if status in (401, 403):
        return (
            f"the Hub refused the token sent for {repo} ({status}): make a new one at "
            f"{constants.ENDPOINT}/settings/tokens, run `hf auth login`, and ask for access at {page}"
        )
    if isinstance(error, errors.LocalEntryNotFoundError) or constants.HF_HUB_OFFLINE:
        return f"{repo} was never loaded on this machine and HF_HUB_OFFLINE is set: unset it, or give data_dir="
    return f"cannot read {repo} from {constants.ENDPOINT}: {type(error).__name__}: {str(error).splitlines()[0]}"
