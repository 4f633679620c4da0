"""The Hub's requests for access to a gated repository: listed, accepted, rejected, taken back, granted unasked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hub_repo import API, Asked, HubError, Repo, Route, git_blob

if TYPE_CHECKING:
    from hub_server import Handler


def _gated(page: Handler, repo: str) -> Repo:
    found = page.find(repo, write=True)
    if not found.gated:
        raise HubError(400, None, f"{repo} is not gated")
    return found


def _id(repo: Repo, user: str) -> str:
    return git_blob(f"{repo.name} {user}".encode())[:24]


def access_requests(page: Handler, repo: str, status: str) -> None:
    """GET /api/datasets/{id}/user-access-request/{status}, in pages."""
    found = _gated(page, repo)
    page.reply_page([_shown(found, one) for one in found.requests.values() if one.status == status])


def _shown(repo: Repo, one: Asked) -> dict[str, Any]:
    user = {"user": one.user, "fullname": one.fullname} if repo.shares_names else {}
    user |= {"email": one.email} if one.email else {}
    told = {"requestId": _id(repo, one.user), "user": user, "status": one.status, "timestamp": one.timestamp}
    return told | ({"fields": one.fields} if one.fields is not None else {})


def handle_access(page: Handler, repo: str) -> None:
    """POST /api/datasets/{id}/user-access-request/handle: accept, reject or (pending) take the answer back."""
    found, asked = _gated(page, repo), page.json()
    named = [
        one
        for one in found.requests.values()
        if asked.get("user") == one.user or asked.get("requestId") == _id(found, one.user)
    ]
    if not named:
        raise HubError(404, None, "no such request for access")
    if named[0].status == asked["status"]:
        raise HubError(404, None, f"this request is {asked['status']} already")
    named[0].status, named[0].reason = asked["status"], asked.get("rejectionReason")
    page.reply_json({})


def grant_access(page: Handler, repo: str) -> None:
    """POST /api/datasets/{id}/user-access-request/grant: to a user who did not ask."""
    found, user = _gated(page, repo), page.json()["user"]
    if user not in {*page.server_hub.users.values(), *page.server_hub.people, *found.requests}:
        raise HubError(404, None, f"no user {user}")
    if user in found.requests and found.requests[user].status == "accepted":
        raise HubError(400, None, f"{user} has access already")
    found.requests[user] = Asked(user, "accepted", found.now(), None, user.title())
    page.reply_json(_shown(found, found.requests[user]))


ROUTES: list[Route] = [
    ("GET", rf"{API}/user-access-request/(?P<status>pending|accepted|rejected)", access_requests),
    ("POST", rf"{API}/user-access-request/handle", handle_access),
    ("POST", rf"{API}/user-access-request/grant", grant_access),
]
