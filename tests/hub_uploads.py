"""The Hub's large files: which are there already, uploads in one piece or in parts, lists, deletion for good.

The addresses that a batch hands out are on another host, take no token, and are good for one object each.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hub_repo import API, REPO, HubError, Repo, Route, git_blob, is_lfs, pointer, sha256

if TYPE_CHECKING:
    from hub_server import Handler, Hub


@dataclass
class Transfer:
    """An upload that was allowed: of which object, and the parts that have come."""

    repo: str
    oid: str
    size: int
    part_size: int
    parts: dict[int, bytes] = field(default_factory=dict)


def batch(page: Handler, repo: str) -> None:
    """POST /datasets/{id}.git/info/lfs/objects/batch: where to send each object that is not there yet."""
    found = page.find(repo, files=True)
    page.writer(f"uploading to {repo}")
    asked, hub = page.json(), page.server_hub
    if asked.get("operation") != "upload" or "basic" not in asked.get("transfers", ["basic"]):
        raise HubError(422, None, "only uploads of the basic and multipart kinds are known")
    parts = "multipart" in asked["transfers"]
    objects = [_object(hub, found, wanted["oid"], wanted["size"], parts) for wanted in asked["objects"]]
    page.reply_json({"transfer": "multipart" if parts else "basic", "objects": objects})


def _object(hub: Hub, repo: Repo, oid: str, size: int, parts: bool) -> dict[str, Any]:
    told: dict[str, Any] = {"oid": oid, "size": size, "authenticated": True}
    if oid in repo.objects:
        return told
    key = secrets.token_hex(8)
    hub.transfers[key] = Transfer(repo.name, oid, size, hub.part_size)
    href = f"{hub.storage}/lfs/{repo.name}/{oid}"
    upload: dict[str, Any] = {"href": f"{href}?key={key}"}
    if parts and size > hub.part_size:
        count = -(-size // hub.part_size)
        addresses = {str(part): f"{href}/{part}?key={key}" for part in range(1, count + 1)}
        upload["header"] = {"chunk_size": str(hub.part_size)} | addresses
    verify = {"href": f"{hub.endpoint}/{repo.page}.git/info/lfs/verify"}
    return told | {"actions": {"upload": upload, "verify": verify}}


def _transfer(page: Handler, repo: str, oid: str) -> Transfer:
    if page.token:
        raise HubError(400, None, "a token was sent to the storage host")
    found = page.server_hub.transfers.get(page.query.get("key", ""))
    if found is None or (found.repo, found.oid) != (repo, oid):
        raise HubError(403, None, "Access Denied")
    return found


def put_object(page: Handler, repo: str, oid: str) -> None:
    """PUT /lfs/{id}/{oid}: an object in one piece."""
    transfer = _transfer(page, repo, oid)
    page.server_hub.uploads.append((oid, len(page.body)))
    _keep(page, transfer, page.body)
    page.reply(b"", headers={"ETag": f'"{oid}"'})


def put_part(page: Handler, repo: str, oid: str, part: str) -> None:
    """PUT /lfs/{id}/{oid}/{part}: a part, counted from 1; its ETag is asked for at the end."""
    transfer = _transfer(page, repo, oid)
    if len(page.body) > transfer.part_size:
        raise HubError(400, None, f"part {part} is larger than {transfer.part_size} bytes")
    page.server_hub.uploads.append((oid, len(page.body)))
    transfer.parts[int(part)] = page.body
    page.reply(b"", headers={"ETag": f'"{git_blob(page.body)}"'})


def complete(page: Handler, repo: str, oid: str) -> None:
    """POST /lfs/{id}/{oid}: all parts have come, and these were their ETags."""
    transfer, asked = _transfer(page, repo, oid), page.json()
    parts = [transfer.parts.get(part["partNumber"], b"") for part in asked["parts"]]
    if [part["etag"] for part in asked["parts"]] != [f'"{git_blob(part)}"' for part in parts]:
        raise HubError(400, None, "a part is missing, or is not what was sent")
    _keep(page, transfer, b"".join(parts))
    page.reply_json({"success": True})


def _keep(page: Handler, transfer: Transfer, data: bytes) -> None:
    if sha256(data) != transfer.oid or len(data) != transfer.size:
        raise HubError(400, None, "the content does not match its SHA-256 or its size")
    page.server_hub.repos[transfer.repo].objects[transfer.oid] = data


def verify(page: Handler, repo: str) -> None:
    """POST /datasets/{id}.git/info/lfs/verify: whether an object has arrived."""
    found, asked = page.find(repo, files=True), page.json()
    if len(found.objects.get(asked["oid"], b"")) != asked["size"]:
        raise HubError(404, None, "no such object")
    page.reply_json({})


def lfs_files(page: Handler, repo: str) -> None:
    """GET /api/datasets/{id}/lfs-files: the objects that are stored, whether or not a commit names them, in pages."""
    found = page.find(repo, write=True)
    named = {sha256(d): (p, sha) for sha, files in found.commits.items() for p, d in files.items() if is_lfs(p, d)}
    tips = {sha: f"refs/heads/{name}" if "/" not in name else name for name, sha in found.refs.items()}
    listed = []
    for oid, data in list(found.objects.items()):
        path, sha = named.get(oid, ("", ""))
        item = {"fileOid": oid, "filename": path, "oid": git_blob(pointer(data)), "size": len(data)}
        when = found.notes[sha].date if sha else found.now()
        listed.append(item | {"pushedAt": when} | ({"ref": tips[sha]} if sha in tips else {}))
    page.reply_page(listed)


def delete_lfs_files(page: Handler, repo: str) -> None:
    """POST /api/datasets/{id}/lfs-files/batch: delete objects for good."""
    found, asked = page.find(repo, write=True), page.json()["deletions"]
    found.delete_objects(set(asked["sha"]), bool(asked.get("rewriteHistory")))
    page.reply_json({})


ROUTES: list[Route] = [
    ("POST", rf"/datasets/{REPO}\.git/info/lfs/objects/batch", batch),
    ("POST", rf"/datasets/{REPO}\.git/info/lfs/verify", verify),
    ("PUT", rf"/lfs/{REPO}/(?P<oid>[0-9a-f]{{64}})", put_object),
    ("PUT", rf"/lfs/{REPO}/(?P<oid>[0-9a-f]{{64}})/(?P<part>\d+)", put_part),
    ("POST", rf"/lfs/{REPO}/(?P<oid>[0-9a-f]{{64}})", complete),
    ("GET", rf"{API}/lfs-files", lfs_files),
    ("POST", rf"{API}/lfs-files/batch", delete_lfs_files),
]
