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
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import huggingface_hub
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.caching import KnownPartsOfAFile  # type: ignore[import-untyped]
from huggingface_hub import constants, errors

from equime import schema
from equime.errors import EquimeError
from equime.hub_layout import HubLayout

Token = str | bool | None
_REPO = re.compile(r"[\w.-]+/[\w.-]+")
CARD = "README.md"
GAP = 1 << 18
"""Bytes nobody asked for that cost less to fetch than another request."""


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
        # `RowGroups` joins what it needs of a row group into few requests; a cache would read ahead in vain.
        return self._system.open(f"{self._base}/{path}", "rb", cache_type="none")

    @contextlib.contextmanager
    def _parquet(self, path: str) -> Iterator[Any]:
        with explained(self.repo, self.commit), self._opened(path) as handle:
            yield RowGroups(handle, metadata=self._file(handle, path).metadata)


class RowGroups(pq.ParquetFile):  # type: ignore[misc]
    """A Parquet file far away: what is needed of a row group comes in few requests, made by the thread that reads.

    Arrow's `pre_buffer` joins requests too, but in threads of its own. Such a thread can be the last to let go of the
    bytes it read, which are a Python object, after the reader has gone on; where Python is ending by then, the
    process is aborted ("terminate called without an active exception").

    Args:
        handle: The open file, of `fsspec`.
        metadata: Its footer.
    """

    def __init__(self, handle: Any, metadata: pq.FileMetaData) -> None:
        super().__init__(handle, metadata=metadata, pre_buffer=False)
        self._handle = handle

    def read_row_group(self, i: int, columns: Sequence[str] | None = None, **options: Any) -> pa.Table:
        """As `pyarrow.parquet.ParquetFile`."""
        cache = self._handle.cache
        found = {(start, stop): cache.fetcher(start, stop) for start, stop in self._ranges(i, columns)}
        self._handle.cache = KnownPartsOfAFile(cache.blocksize, cache.fetcher, cache.size, found)
        try:
            return super().read_row_group(i, columns=columns, **options)
        finally:
            self._handle.cache = cache

    def _ranges(self, group: int, columns: Sequence[str] | None) -> list[tuple[int, int]]:
        """First byte and the one after the last of the columns in a row group; near ones are joined."""
        row_group = self.metadata.row_group(group)
        joined: list[tuple[int, int]] = []
        for chunk in map(row_group.column, range(row_group.num_columns)):
            if columns is not None and chunk.path_in_schema.split(".")[0] not in columns:
                continue
            start = chunk.dictionary_page_offset or chunk.data_page_offset
            stop = start + chunk.total_compressed_size
            if joined and 0 <= start - joined[-1][1] <= GAP:
                start = joined.pop()[0]
            joined.append((start, stop))
        return joined


def _commit(repo: str, revision: str, token: Token) -> str:
    """The commit of a revision; without a network, the one that this machine last saw."""
    if not constants.HF_HUB_OFFLINE:
        api = huggingface_hub.HfApi(token=token)
        try:
            found = api.dataset_info(repo, revision=revision).sha
        except errors.RevisionNotFoundError as error:
            tags = [tag.name for tag in api.list_repo_refs(repo, repo_type="dataset").tags]
            versions = ", ".join(sorted(tags)) or "none yet"
            raise EquimeError(f"{repo} has no revision {revision!r}: its versions are {versions}") from error
        with contextlib.suppress(errors.EntryNotFoundError):  # keeps revision -> commit for later, without a network
            huggingface_hub.hf_hub_download(repo, CARD, repo_type="dataset", revision=revision, token=token)
        return str(found)
    kept = huggingface_hub.hf_hub_download(
        repo, CARD, repo_type="dataset", revision=revision, token=token, local_files_only=True
    )
    return Path(kept).parent.name


@contextlib.contextmanager
def explained(repo: str, revision: str | None, page: str | None = None) -> Iterator[None]:
    """Turn what the Hub says into one line with the next step; `page` is the repository's, if of no data set."""
    page = page or f"{constants.ENDPOINT}/datasets/{repo}"
    try:
        yield
    except EquimeError as error:
        if not isinstance(error.__cause__, errors.HfHubHTTPError):
            raise
        # A file was refused (the card of a gated repository is public, its files are not).
        raise EquimeError(_explanation(error.__cause__, repo, revision, page)) from error
    except Exception as error:  # the client raises a dozen kinds, of several HTTP libraries
        raise EquimeError(_explanation(error, repo, revision, page)) from error


def _explanation(error: Exception, repo: str, revision: str | None, page: str) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, errors.GatedRepoError):
        login = "log in with `hf auth login` (or set HF_TOKEN), then " if status == 401 else ""
        return (
            f"{repo} is gated: {login}ask for access at {page} (its form wants your institution, the intended use and "
            "your agreement to the terms) and run this again once it is granted"
        )
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
