"""The Hub's pages that read: who one is, what repositories, trees and histories hold, the files themselves."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from hub_repo import API, REPO, HubError, Route, date, file_entry, folder_entry, git_blob, is_lfs, sha256

if TYPE_CHECKING:
    from hub_server import Handler


def whoami(page: Handler) -> None:
    """GET /api/whoami-v2."""
    hub, user = page.server_hub, page.user()
    if user is None:
        raise HubError(401, None, "Invalid username or password.")
    role = "read" if page.token in hub.readers else "fineGrained" if page.token in hub.fine_grained else "write"
    orgs = [{"type": "org", "name": org, "roleInOrg": "write"} for org, names in hub.orgs.items() if user in names]
    token = {"displayName": "token", "role": role, "createdAt": date(0)}
    facts = {"type": "user", "id": git_blob(user.encode())[:24], "name": user, "fullname": user.title()}
    page.reply_json(facts | {"orgs": orgs, "auth": {"type": "access_token", "accessToken": token}})


def info(page: Handler, repo: str, rev: str) -> None:
    """GET /api/datasets/{id}[/revision/{rev}]."""
    found = page.find(repo)
    sha = found.resolve(rev or "main")
    facts: dict[str, Any] = {"_id": git_blob(repo.encode())[:24], "id": repo, "author": found.owner, "sha": sha}
    facts |= {"private": found.private, "gated": found.gated, "disabled": False, "tags": [], "downloads": 0}
    facts |= {"lastModified": found.notes[sha].date, "createdAt": date(0), "likes": 0}
    blobs = page.query.get("blobs") in ("True", "true", "1")
    page.reply_json(facts | {"siblings": [_sibling(p, d, blobs) for p, d in sorted(found.commits[sha].items())]})


def _sibling(path: str, data: bytes, blobs: bool) -> dict[str, Any]:
    if not blobs:
        return {"rfilename": path}
    entry = file_entry(path, data)
    lfs = {"sha256": entry["lfs"]["oid"]} | entry["lfs"] if "lfs" in entry else None
    return {"rfilename": path, "size": len(data), "blobId": entry["oid"]} | ({"lfs": lfs} if lfs else {})


def tree(page: Handler, repo: str, rev: str, path: str) -> None:
    """GET /api/datasets/{id}/tree/{rev}/{path}, in pages."""
    found = page.find(repo)
    recursive = page.query.get("recursive") in ("True", "true", "1")
    page.reply_page(found.entries(found.resolve(rev), path.strip("/"), recursive))


def paths_info(page: Handler, repo: str, rev: str) -> None:
    """POST /api/datasets/{id}/paths-info/{rev}: those of the paths that are there."""
    found = page.find(repo)
    files = found.commits[found.resolve(rev)]
    if page.headers.get("Content-Type", "").startswith("application/json"):
        asked = json.loads(page.body)["paths"]
    else:
        asked = parse_qs(page.body.decode()).get("paths", [])
    entries = [file_entry(path, files[path]) for path in asked if path in files]
    folders = [path for path in asked if any(name.startswith(f"{path}/") for name in files)]
    page.reply_json(entries + [folder_entry(path) for path in folders])


def refs(page: Handler, repo: str) -> None:
    """GET /api/datasets/{id}/refs."""
    found = page.find(repo)
    heads = {name: sha for name, sha in found.refs.items() if not name.startswith("refs/pr/")}
    pulls = {name.split("/")[-1]: sha for name, sha in found.refs.items() if name not in heads}
    listed = {"branches": _refs("heads", heads), "tags": _refs("tags", found.tags), "converts": []}
    page.reply_json(listed | ({"pullRequests": _refs("pr", pulls)} if "include_prs" in page.query else {}))


def _refs(kind: str, tips: dict[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": sha} for name, sha in tips.items()]


def commits(page: Handler, repo: str, rev: str) -> None:
    """GET /api/datasets/{id}/commits/{rev}, the newest first, in pages."""
    found = page.find(repo)
    listed = []
    for sha in found.history(found.resolve(rev)):
        note = found.notes[sha]
        item = {"id": sha, "title": note.title, "message": note.message, "date": note.date}
        listed.append(item | {"authors": [{"user": note.author}]})
    page.reply_page(listed)


def auth_check(page: Handler, repo: str, write: str) -> None:
    """GET /api/datasets/{id}/auth-check[/write]."""
    page.find(repo, files=True, write=bool(write))
    page.reply(b"")


def file(page: Handler, repo: str, rev: str, path: str) -> None:
    """GET /datasets/{id}/resolve/{rev}/{path}."""
    found = page.find(repo, files=path not in page.server_hub.public_files)
    sha = found.resolve(rev)
    if path not in found.commits[sha]:
        raise HubError(404, "EntryNotFound", f"{path} does not exist on {rev}")
    data = found.commits[sha][path]
    if not is_lfs(path, data):
        page.reply_file(data, {"ETag": f'"{git_blob(data)}"', "X-Repo-Commit": sha})
        return
    oid = sha256(data)
    headers = {"X-Repo-Commit": sha, "X-Linked-Etag": f'"{oid}"', "X-Linked-Size": str(len(data))}
    headers |= {"ETag": f'"{oid}"', "Location": f"{page.server_hub.storage}/lfs/{repo}/{oid}"}
    page.reply(b"", 302, headers)


def stored(page: Handler, repo: str, oid: str) -> None:
    """GET /lfs/{id}/{oid}: the redirect's goal. A token must not travel to another host."""
    if page.token:
        raise HubError(400, None, "a token was sent to the storage host")
    found = page.server_hub.repos.get(repo)
    if found is None or oid not in found.objects:
        raise HubError(404, None, "no such object")
    page.reply_file(found.objects[oid], {"ETag": f'"{oid}"'})


ROUTES: list[Route] = [
    ("GET", r"/api/whoami-v2", whoami),
    ("GET", rf"{API}(?:/revision/(?P<rev>.+))?", info),
    ("GET", rf"{API}/tree/(?P<rev>[^/]+)(?P<path>/.*)?", tree),
    ("POST", rf"{API}/paths-info/(?P<rev>[^/]+)", paths_info),
    ("GET", rf"{API}/refs", refs),
    ("GET", rf"{API}/commits/(?P<rev>[^/]+)", commits),
    ("GET", rf"{API}/auth-check(?P<write>/write)?", auth_check),
    ("GET", rf"/datasets/{REPO}/resolve/(?P<rev>[^/]+)/(?P<path>.+)", file),
    ("GET", rf"/lfs/{REPO}/(?P<oid>[0-9a-f]{{64}})", stored),
]
