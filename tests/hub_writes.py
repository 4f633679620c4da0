"""The Hub's pages that write: repositories and their settings, commits, branches, tags, histories made short."""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import TYPE_CHECKING, Any

import yaml
from hub_repo import API, GITATTRIBUTES, Discussion, HubError, Repo, Route, git_blob, is_lfs, sha256

if TYPE_CHECKING:
    from hub_server import Handler

_GATES = (False, "auto", "manual")
_REF = re.compile(r"\w[\w.+/-]*")


def create_repo(page: Handler) -> None:
    """POST /api/repos/create: it starts with a commit that holds `.gitattributes`."""
    user, asked, hub = page.writer("making a repository"), page.json(), page.server_hub
    owner = asked.get("organization") or user
    name = f"{owner}/{asked['name']}"
    if not hub.writes(user, owner):
        raise HubError(403, None, f'You don\'t have the rights to create a dataset under the namespace "{owner}"')
    made = Repo(name, asked.get("type") or "model", _private(asked) or False)
    address = f"{hub.endpoint}/{made.page}"
    if name in hub.repos:
        raise HubError(409, None, f"You already created this {made.kind} repo", url=address)
    hub.repos[name] = made
    made.commit({".gitattributes": GITATTRIBUTES}, title="initial commit", author=user)
    page.reply_json({"url": address, "name": name, "id": git_blob(name.encode())[:24]})


def _private(asked: dict[str, Any]) -> bool | None:
    """What is asked for: older clients say "private", newer ones "visibility"."""
    return asked["visibility"] == "private" if "visibility" in asked else asked.get("private")


def delete_repo(page: Handler) -> None:
    """DELETE /api/repos/delete."""
    asked = page.json()
    page.kind = asked.get("type") or "model"
    found = page.find(f"{asked.get('organization') or page.writer()}/{asked['name']}", write=True)
    del page.server_hub.repos[found.name]
    page.reply_json({})


def settings(page: Handler, repo: str) -> None:
    """PUT /api/datasets/{id}/settings."""
    found, asked = page.find(repo, write=True), page.json()
    if asked.get("gated", False) not in _GATES:
        raise HubError(400, None, f"gated must be one of {_GATES}")
    found.gated = asked.get("gated", found.gated)
    private = _private(asked)
    found.private = found.private if private is None else private
    page.reply_json({"private": found.private, "gated": found.gated})


def validate_yaml(page: Handler) -> None:
    """POST /api/validate-yaml: whether a README's front matter reads."""
    matched = re.match(r"---\r?\n(.*?)\r?\n---(\r?\n|$)", page.json()["content"], re.DOTALL)
    warnings = [] if matched else [{"message": "empty or missing yaml metadata in repo card"}]
    try:
        facts = yaml.safe_load(matched[1]) if matched else {}
        errors = [] if isinstance(facts, dict) else [{"message": "the metadata must be a mapping"}]
    except yaml.YAMLError as error:
        errors = [{"message": str(error)}]
    if errors:
        raise HubError(400, None, "Invalid metadata in README.md", errors=errors, warnings=warnings)
    page.reply_json({"errors": [], "warnings": warnings})


def preupload(page: Handler, repo: str, rev: str) -> None:
    """POST /api/datasets/{id}/preupload/{rev}: which files are large, and what is there of them already."""
    found = _committable(page, repo, rev)
    files = found.commits[found.resolve(rev)]
    page.reply_json({"files": [_mode(asked, files) for asked in page.json()["files"]]})


def _mode(asked: dict[str, Any], files: dict[str, bytes]) -> dict[str, Any]:
    path, size = asked["path"], asked["size"]
    mode = "lfs" if is_lfs(path, bytes(size)) else "regular"
    told = {"path": path, "uploadMode": mode, "shouldIgnore": False}
    if path not in files:
        return told
    return told | {"oid": (sha256 if is_lfs(path, files[path]) else git_blob)(files[path])}


def _committable(page: Handler, repo: str, rev: str) -> Repo:
    """A repository that the user may commit to at a revision; anybody with access may open a pull request."""
    if "create_pr" in page.query:
        page.writer("opening a pull request")
        return page.find(repo, files=True)
    found, user = page.find(repo, files=True), page.writer(f"committing to {repo}")
    pulls = {pull.ref: pull.author for pull in found.discussions if pull.is_pull_request}
    return found if pulls.get(rev) == user else page.find(repo, write=True)


def commit(page: Handler, repo: str, rev: str) -> None:
    """POST /api/datasets/{id}/commit/{rev}: lines of JSON, all or nothing."""
    found, user, hub = _committable(page, repo, rev), page.writer(), page.server_hub
    lines = [json.loads(line) for line in page.body.splitlines() if line.strip()]
    header = next(line["value"] for line in lines if line["key"] == "header")
    branch = rev.removeprefix("refs/heads/")
    if branch not in found.refs:
        raise HubError(404, "RevisionNotFound", f"Invalid rev id: {rev}")
    pull = next((pull for pull in found.discussions if pull.ref == branch), None)
    if pull and pull.status in ("closed", "merged"):
        raise HubError(403, None, f"This pull request is {pull.status}")
    if header.get("parentCommit", found.refs[branch]) != found.refs[branch]:
        raise HubError(412, None, "A commit has happened since. Please refresh and try again.")
    files = dict(found.commits[found.refs[branch]])
    for line in lines:
        _apply(found, files, line["key"], line["value"])
    said: dict[str, Any] = {"success": True, "hookOutput": ""}
    if "create_pr" in page.query:
        pull = open_pull(found, header["summary"], user, "open", found.refs[branch])
        branch = pull.ref
        said["pullRequestUrl"] = f"{hub.endpoint}/{found.page}/discussions/{pull.num}"
    oid = found.commit(files, branch, header["summary"], header.get("description", ""), user)
    if pull:
        pull.events.append(event(found, "commit", user, {"subject": header["summary"], "oid": oid}))
    page.reply_json(said | {"commitOid": oid, "commitUrl": f"{hub.endpoint}/{found.page}/commit/{oid}"})


def _apply(repo: Repo, files: dict[str, bytes], key: str, value: dict[str, Any]) -> None:
    """One line of a commit."""
    path = value.get("path", "")
    if key in ("file", "lfsFile") and (path.startswith("/") or {"", ".", "..", ".git"} & set(path.split("/"))):
        raise HubError(400, None, f"Invalid path: {path}")
    if key == "file":
        files[path] = _decoded(path, value)
    elif key == "lfsFile":
        if value["oid"] not in repo.objects:
            raise HubError(400, None, f"LFS pointer of {path} points to a file that does not exist")
        files[path] = repo.objects[value["oid"]]
    elif key == "deletedFile":
        if path not in files:
            raise HubError(404, "EntryNotFound", f"A file with this name doesn't exist: {path}")
        del files[path]
    elif key == "deletedFolder":
        inside = [name for name in files if name.startswith(f"{path.rstrip('/')}/")]
        if not inside:
            raise HubError(404, "EntryNotFound", f"A folder with this name doesn't exist: {path}")
        for name in inside:
            del files[name]


def _decoded(path: str, value: dict[str, Any]) -> bytes:
    try:
        data = base64.b64decode(value["content"], validate=True)
    except binascii.Error as error:
        raise HubError(400, None, f"{path}: {error}") from error
    if is_lfs(path, data):
        raise HubError(400, None, f"Your push was rejected: {path} must be stored with LFS")
    return data


def event(repo: Repo, kind: str, author: str, data: dict[str, Any]) -> dict[str, Any]:
    """Something that happened in a pull request."""
    when = repo.now()
    return {
        "id": git_blob(when.encode())[:24],
        "type": kind,
        "createdAt": when,
        "author": {"name": author},
        "data": data,
    }


def open_pull(repo: Repo, title: str, author: str, status: str, base: str) -> Discussion:
    """A new pull request, which starts from `base`."""
    pull = Discussion(len(repo.discussions) + 1, title, author, True, status, repo.now())
    repo.discussions.append(pull)
    repo.refs[pull.ref] = base
    return pull


def branch(page: Handler, repo: str, name: str) -> None:
    """POST /api/datasets/{id}/branch/{name}."""
    found = page.find(repo, write=True)
    _name(page, found.refs, "heads", name, found.resolve(page.json().get("startingPoint") or "main"))


def delete_branch(page: Handler, repo: str, name: str) -> None:
    """DELETE /api/datasets/{id}/branch/{name}."""
    found = page.find(repo, write=True)
    if name == "main":
        raise HubError(403, None, "The main branch cannot be deleted")
    _forget(page, found.refs, name)


def tag(page: Handler, repo: str, rev: str) -> None:
    """POST /api/datasets/{id}/tag/{rev}."""
    found = page.find(repo, write=True)
    _name(page, found.tags, "tags", page.json()["tag"], found.resolve(rev))


def delete_tag(page: Handler, repo: str, rev: str) -> None:
    """DELETE /api/datasets/{id}/tag/{tag}."""
    _forget(page, page.find(repo, write=True).tags, rev)


def _name(page: Handler, names: dict[str, str], kind: str, name: str, sha: str) -> None:
    """Give a commit a name that is not there yet."""
    if name in names:
        raise HubError(409, None, f"Reference already exists: refs/{kind}/{name}")
    if not _REF.fullmatch(name) or ".." in name:
        raise HubError(400, None, f"Invalid ref name: {name}")
    names[name] = sha
    page.reply_json({})


def _forget(page: Handler, names: dict[str, str], name: str) -> None:
    """Take a name away that is there."""
    if names.pop(name, None) is None:
        raise HubError(404, "RevisionNotFound", f"Invalid rev id: {name}")
    page.reply_json({})


def super_squash(page: Handler, repo: str, name: str) -> None:
    """POST /api/datasets/{id}/super-squash/{branch}: one commit instead of all; the old ones are lost."""
    found, user = page.find(repo, write=True), page.writer()
    if name not in found.refs:
        raise HubError(404, "RevisionNotFound", f"Invalid rev id: {name}")
    files = found.commits[found.refs[name]]
    found.commit(files, name, page.json().get("message", "squash"), "", user, parent=None)
    found.collect()
    page.reply_json({})


ROUTES: list[Route] = [
    ("POST", r"/api/repos/create", create_repo),
    ("DELETE", r"/api/repos/delete", delete_repo),
    ("PUT", rf"{API}/settings", settings),
    ("POST", r"/api/validate-yaml", validate_yaml),
    ("POST", rf"{API}/preupload/(?P<rev>[^/]+)", preupload),
    ("POST", rf"{API}/commit/(?P<rev>[^/]+)", commit),
    ("POST", rf"{API}/branch/(?P<name>[^/]+)", branch),
    ("DELETE", rf"{API}/branch/(?P<name>[^/]+)", delete_branch),
    ("POST", rf"{API}/tag/(?P<rev>[^/]+)", tag),
    ("DELETE", rf"{API}/tag/(?P<rev>[^/]+)", delete_tag),
    ("POST", rf"{API}/super-squash/(?P<name>[^/]+)", super_squash),
]
