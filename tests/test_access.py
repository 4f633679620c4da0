"""Access requests: the form against the policy, and the real client against a Hub of our own."""

from __future__ import annotations

import csv
import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hub_server import Hub
from publishing import equime

from equime.errors import EquimeError
from equime.publishing.about import COUNTRY, INSTITUTION, RESEARCH, TERMS, USE, Policy
from equime.publishing.repository.access import Request, require_reason, to_csv
from equime.publishing.repository.form import check

FORM = {INSTITUTION: "Monash University", COUNTRY: "AU", USE: "spotting baselines", RESEARCH: True, TERMS: True}


def test_a_whole_form_passes() -> None:
    assert check(FORM, Policy(), "ada@monash.edu") == ((), ())


@pytest.mark.parametrize("label", FORM)
def test_a_field_that_is_not_there_is_named(label: str) -> None:
    problems = check({k: v for k, v in FORM.items() if k != label}, Policy()).problems
    assert len(problems) == 1 and repr(label) in problems[0]


@pytest.mark.parametrize("filler", ["", "  ", "-", "n/a", "N/A.", "none", "...", "?", "xxx", "123", None, True])
@pytest.mark.parametrize("label", [INSTITUTION, USE])
def test_a_filler_is_no_answer(label: str, filler: object) -> None:
    assert check(FORM | {label: filler}, Policy()).problems == (f"{label!r} is blank",)


@pytest.mark.parametrize("alone", ["independent", "Independent Researcher", "self-employed", "Personal use", "myself"])
def test_nobody_is_an_institution(alone: str) -> None:
    (problem,) = check(FORM | {INSTITUTION: alone}, Policy()).problems
    assert "names no institution" in problem


@pytest.mark.parametrize(
    "name", ["Independent University of Bangladesh", "MIT", "TU", "Max Planck Institute", "東京大学", "X-Lab, ETH"]
)
def test_real_institutions_pass(name: str) -> None:
    assert check(FORM | {INSTITUTION: name}, Policy()).problems == ()


@pytest.mark.parametrize("label", [RESEARCH, TERMS])
@pytest.mark.parametrize("answer", [False, None, "", "false", 0])
def test_both_boxes_are_to_be_ticked(label: str, answer: object) -> None:
    assert check(FORM | {label: answer}, Policy()).problems == (f"{label!r} is not ticked",)


@pytest.mark.parametrize("answer", [True, "true", "on", 1, "Yes"])
def test_a_ticked_box_in_whatever_words(answer: object) -> None:
    assert check(FORM | {TERMS: answer}, Policy()).problems == ()


def test_labels_are_compared_without_case() -> None:
    assert check({label.upper() + " ": answer for label, answer in FORM.items()}, Policy()).problems == ()


def test_another_form_is_checked_by_its_own_fields() -> None:
    policy = Policy(form={"Affiliation": "text", "Why": {"type": "select", "options": ["a", "b"]}, "OK": "checkbox"})
    assert check({"Affiliation": "ANU", "Why": "a", "OK": True}, policy).problems == ()
    assert check({"Affiliation": "freelancer", "OK": "off"}, policy).problems == (
        "'Affiliation' names no institution: 'freelancer'",
        "'Why' is blank",
        "'OK' is not ticked",
    )


@pytest.mark.parametrize(
    ("email", "free"),
    [
        ("ada@gmail.com", True),
        ("ada@yahoo.co.uk", True),
        ("ada@proton.me", True),
        ("ada@163.com", True),
        ("ada@mail.ustc.edu.cn", False),
        ("ada@gmx.uni-kl.de", False),
        ("ada@me.berkeley.edu", False),
        (None, False),
    ],
)
def test_a_free_address_is_a_note_and_no_more(email: str | None, free: bool) -> None:
    checked = check(FORM, Policy(), email)
    assert checked.problems == () and bool(checked.notes) == free


@pytest.mark.parametrize(
    ("use", "noted"),
    [
        ("to build a commercial product", True),
        ("for our customers", True),
        ("non-commercial research", False),
        ("noncommercial; produces a benchmark", False),
    ],
)
def test_commerce_is_a_note(use: str, noted: bool) -> None:
    assert bool(check(FORM | {USE: use}, Policy()).notes) == noted


def test_who_was_granted_access_filled_in_no_form() -> None:
    granted = Request("ada", "Ada", None, "accepted", datetime(2026, 1, 2, tzinfo=UTC))
    assert granted.checked(Policy()) == ((), ("granted without a form",))


def test_what_strangers_wrote_is_inert_in_a_spreadsheet(tmp_path: Path) -> None:
    evil = FORM | {INSTITUTION: '=HYPERLINK("http://evil")', USE: "a,b\nc", "+more": "@SUM(1)"}
    asked = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    to_csv([Request("ada", None, "ada@uni.edu", "pending", asked, evil)], Policy(), tmp_path / "out" / "a.csv")
    with (tmp_path / "out" / "a.csv").open(newline="", encoding="utf-8") as handle:
        (row,) = csv.DictReader(handle)
    assert row[INSTITUTION] == '\'=HYPERLINK("http://evil")' and row[USE] == "a,b\nc"
    assert row["'+more"] == "'@SUM(1)" and row["check"] == "complete"
    assert (tmp_path / "out" / "a.csv").stat().st_mode & 0o777 == 0o600
    assert row["asked"] == "2026-01-02T03:04:00+00:00" and row["fullname"] == ""


def test_a_reason_the_hub_would_not_take_is_one_line() -> None:
    assert require_reason(None) is None and require_reason("x" * 200) == "x" * 200
    for reason in ("", "  ", "x" * 201):
        with pytest.raises(EquimeError, match="1 to 200 characters"):
            require_reason(reason)


REPO = "org/equime"


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A gated repository with requests of every kind."""
    with Hub() as server:
        server.users = {"hf_owner": "owner", "hf_reader": "owner", "hf_bob": "bob", "hf_eve": "eve"}
        server.orgs, server.readers, server.people = {"org": {"owner"}}, {"hf_reader"}, {"fay"}
        repo = server.create(REPO, {"README.md": b"# card"}, gated="manual")
        repo.ask("bob", FORM, email="bob@uni.edu", fullname="Bob \x1b[31mred\nline")
        repo.ask("dan", FORM | {TERMS: False, INSTITUTION: " "}, email="dan@gmail.com")
        repo.ask("cat", FORM).status = "accepted"
        repo.ask("eve", FORM).status = "rejected"
        server.create("org/open", {"README.md": b"# card"})
        yield server


def run(hub: Hub, home: Path, *words: str, token: str | None = "hf_owner") -> subprocess.CompletedProcess[str]:
    """`equime access ...`."""
    return equime(hub, home, "access", *words, token=token)


def test_the_list_says_who_asked_when_and_what_is_lacking(hub: Hub, tmp_path: Path) -> None:
    done = run(hub, tmp_path, "list", REPO, "--csv", "asked.csv")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("bob (Bob \\x1b[31mred\\nline, bob@uni.edu): pending, asked 2026-")
    assert "  Institution: Monash University\n" in done.stdout and "  check: complete\n" in done.stdout
    assert f"check: {INSTITUTION!r} is blank; {TERMS!r} is not ticked\n  note: dan@gmail.com is a free" in done.stdout
    assert done.stdout.endswith("2 pending; 1 complete\n")
    with (tmp_path / "asked.csv").open(newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    assert [row["user"] for row in rows] == ["bob", "dan"] and rows[0][RESEARCH] == "True"
    everyone = json.loads(run(hub, tmp_path, "list", REPO, "--status", "all", "--json").stdout)
    assert {each["user"]: each["status"] for each in everyone} == {
        "bob": "pending", "dan": "pending", "cat": "accepted", "eve": "rejected",
    }  # fmt: skip


def test_more_requests_than_a_page_are_all_listed(hub: Hub, tmp_path: Path) -> None:
    for number in range(120):
        hub.repos[REPO].ask(f"user{number}", FORM)
    assert len(json.loads(run(hub, tmp_path, "list", REPO, "--json").stdout)) == 122


def test_accepting_takes_whole_forms_and_says_why_not_others(hub: Hub, tmp_path: Path) -> None:
    status = {user: asked.status for user, asked in hub.repos[REPO].requests.items()}
    done = run(hub, tmp_path, "accept", REPO, "BOB", "dan", "cat", "nobody")
    assert done.returncode == 1 and done.stdout == "BOB: accepted\ncat: has access already\n"
    assert "dan: the form lacks what the policy asks for" in done.stderr and "--anyway" in done.stderr
    assert "nobody: has not asked for access: `equime access grant org/equime nobody`" in done.stderr
    now = {user: asked.status for user, asked in hub.repos[REPO].requests.items()}
    assert now == status | {"bob": "accepted"}
    assert run(hub, tmp_path, "accept", REPO, "dan", "--anyway").returncode == 0
    assert hub.repos[REPO].requests["dan"].status == "accepted"


def test_access_is_given_taken_back_and_refused(hub: Hub, tmp_path: Path) -> None:
    requests = hub.repos[REPO].requests
    assert run(hub, tmp_path, "grant", REPO, "fay").stdout == "fay: access granted\n"
    assert requests["fay"].status == "accepted"
    assert run(hub, tmp_path, "grant", REPO, "fay").stdout == "fay: has access already\n"
    assert run(hub, tmp_path, "revoke", REPO, "fay").returncode == 0 and requests["fay"].status == "pending"
    assert run(hub, tmp_path, "revoke", REPO, "fay").stdout == "fay: has no access (pending)\n"
    assert run(hub, tmp_path, "revoke", REPO, "cat", "--reason", "clips were passed on").returncode == 0
    assert (requests["cat"].status, requests["cat"].reason) == ("rejected", "clips were passed on")
    assert run(hub, tmp_path, "reject", REPO, "bob", "eve").stdout == "bob: rejected\neve: rejected already\n"
    assert run(hub, tmp_path, "reject", REPO, "dan", "--reason", "x" * 201).returncode == 1
    assert requests["dan"].status == "pending"


def test_who_does_not_share_a_name_is_answered_by_the_request(hub: Hub, tmp_path: Path) -> None:
    hub.repos[REPO].shares_names = False
    listed = json.loads(run(hub, tmp_path, "list", REPO, "--json").stdout)
    bob = next(each for each in listed if each["email"] == "bob@uni.edu")
    assert bob["fullname"] is None and bob["user"] != "bob"
    assert run(hub, tmp_path, "accept", REPO, bob["user"]).stdout == f"{bob['user']}: accepted\n"
    assert hub.repos[REPO].requests["bob"].status == "accepted"
    assert run(hub, tmp_path, "revoke", REPO, bob["user"]).returncode == 0
    assert hub.repos[REPO].requests["bob"].status == "pending"


def test_a_lost_answer_is_looked_up(hub: Hub, tmp_path: Path) -> None:
    hub.fault("POST", "/handle", status=503, headers={"Retry-After": "0"}, when="after")
    assert run(hub, tmp_path, "accept", REPO, "bob").stdout == "bob: accepted\n"
    assert hub.requests["POST", "handle_access"] == 1


@pytest.mark.parametrize(
    ("words", "token", "said"),
    [
        (["list", REPO], "hf_reader", "it must be able to write there"),
        (["list", REPO], "hf_wrong", "does not take the token"),
        (["list", "org/absent"], "hf_owner", "org/absent"),
        (["list", "org/open"], "hf_owner", "is not gated, so that nobody asks for access: gate it at http"),
        (["revoke", REPO, "ghost"], "hf_owner", "ghost: has not asked for access, so that there is nothing to revoke"),
        (["grant", REPO, "no such"], "hf_owner", "no such: expected a user's name on the Hub"),
        (["list", REPO], None, "wants to know who asks for org/equime (401): log in with `hf auth login`"),
        (["list", REPO], "hf_höh", "expected a token of ASCII characters without spaces, got one of 6 characters"),
        (["list", "nonsense"], "hf_owner", "owner/name"),
        (["grant", REPO, "ghost"], "hf_owner", "ghost"),
    ],
)
def test_what_cannot_be_is_one_line(hub: Hub, tmp_path: Path, words: list[str], token: str | None, said: str) -> None:
    done = run(hub, tmp_path, *words, token=token)
    assert done.returncode == 1 and said in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stdout == "" and (token is None or token not in done.stderr)
