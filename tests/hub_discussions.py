"""The Hub's pull requests: opened as drafts, listed, read, closed, merged into `main` as one commit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hub_repo import API, Discussion, HubError, Repo, Route
from hub_writes import event, open_pull

if TYPE_CHECKING:
    from hub_server import Handler

PAGE = 10


def _comment(repo: Repo, author: str, text: str) -> dict[str, Any]:
    latest = {"raw": text, "html": text, "updatedAt": repo.now(), "author": {"name": author}}
    return event(repo, "comment", author, {"edited": False, "hidden": False, "latest": latest, "history": [latest]})


def _facts(repo: Repo, found: Discussion) -> dict[str, Any]:
    facts = {"num": found.num, "title": found.title, "status": found.status, "author": {"name": found.author}}
    facts |= {"isPullRequest": found.is_pull_request, "createdAt": found.created}
    return facts | {"repo": {"name": repo.name, "type": "dataset"}}


def create(page: Handler, repo: str) -> None:
    """POST /api/datasets/{id}/discussions: a pull request starts as a draft from main's commit."""
    user = page.writer("opening a pull request")
    found, asked = page.find(repo), page.json()
    if len(asked["title"]) < 3:
        raise HubError(400, None, '"title" length must be at least 3 characters long')
    if asked.get("pullRequest"):
        made = open_pull(found, asked["title"], user, "draft", found.refs["main"])
    else:
        made = Discussion(len(found.discussions) + 1, asked["title"], user, False, "open", found.now())
        found.discussions.append(made)
    made.events.append(_comment(found, user, asked["description"]))
    address = f"{page.server_hub.endpoint}/datasets/{repo}/discussions/{made.num}"
    page.reply_json({"num": made.num, "pullRequest": made.is_pull_request, "url": address})


def listed(page: Handler, repo: str) -> None:
    """GET /api/datasets/{id}/discussions, the newest first, in pages."""
    found, wanted = page.find(repo), page.query
    kind, status, author = (wanted.get(name, "all") for name in ("type", "status", "author"))
    shown = [
        _facts(found, one)
        for one in reversed(found.discussions)
        if kind in ("all", "pull_request" if one.is_pull_request else "discussion")
        and status in ("all", "open" if one.status in ("open", "draft") else "closed")
        and author in ("all", one.author)
    ]
    start = PAGE * int(wanted.get("p", 0))
    page.reply_json({"count": len(shown), "start": start, "discussions": shown[start : start + PAGE]})


def _one(found: Repo, num: str) -> Discussion:
    if not 1 <= int(num) <= len(found.discussions):
        raise HubError(404, None, f"no discussion {num}")
    return found.discussions[int(num) - 1]


def details(page: Handler, repo: str, num: str) -> None:
    """GET /api/datasets/{id}/discussions/{num}."""
    found = page.find(repo)
    one = _one(found, num)
    facts = _facts(found, one) | {"events": one.events, "diff": ""}
    if one.is_pull_request:
        conflicts = found.merged(found.refs[one.ref], found.refs["main"])[1] if one.status != "merged" else []
        changes = {"base": "refs/heads/main"} | ({"mergeCommitId": one.merge_commit} if one.merge_commit else {})
        facts |= {"filesWithConflicts": conflicts, "changes": changes}
    page.reply_json(facts)


def comment(page: Handler, repo: str, num: str) -> None:
    """POST /api/datasets/{id}/discussions/{num}/comment."""
    user, found = page.writer("commenting"), page.find(repo)
    one = _one(found, num)
    one.events.append(_comment(found, user, page.json()["comment"]))
    page.reply_json({"newMessage": one.events[-1]})


def status(page: Handler, repo: str, num: str) -> None:
    """POST /api/datasets/{id}/discussions/{num}/status: open (a draft, too) or close."""
    found, user, asked = page.find(repo), page.writer(), page.json()["status"]
    one = _one(found, num)
    if one.author != user:
        page.find(repo, write=True)
    if one.status == "merged" or asked == one.status:
        raise HubError(400, None, f"This discussion is {one.status}")
    one.status = asked
    one.events.append(event(found, "status-change", user, {"status": asked}))
    page.reply_json({"newStatus": one.events[-1]})


def merge(page: Handler, repo: str, num: str) -> None:
    """POST /api/datasets/{id}/discussions/{num}/merge: its changes become one new commit on main."""
    found, user = page.find(repo, write=True), page.writer()
    one = _one(found, num)
    if not one.is_pull_request or one.status != "open":
        raise HubError(400, None, f"Pull request {num} cannot be merged: it is {one.status}")
    files, conflicts = found.merged(found.refs[one.ref], found.refs["main"])
    if conflicts:
        raise HubError(409, None, f"Conflicts with main in {', '.join(conflicts)}")
    one.merge_commit = found.commit(files, "main", f"{one.title} (#{num})", "", user)
    one.status = "merged"
    one.events.append(event(found, "status-change", user, {"status": "merged"}))
    page.reply_json({"newStatus": one.events[-1]})


_ONE = rf"{API}/discussions/(?P<num>\d+)"
ROUTES: list[Route] = [
    ("POST", rf"{API}/discussions", create),
    ("GET", rf"{API}/discussions", listed),
    ("GET", _ONE, details),
    ("POST", rf"{_ONE}/comment", comment),
    ("POST", rf"{_ONE}/status", status),
    ("POST", rf"{_ONE}/merge", merge),
]
