r"""What a release may be used for, and who decides: licence, access, law and removal, once for all its documents.

Why apart: these words bind people; they change for other reasons than the numbers do. Only what the rows and the policy
say decides which of them stand in a card: CelebA's terms where a source is CelebA's, LTX-Video's where a clip is its.

    print("\n\n".join(sections(facts)))      # the card's Markdown
    LAW, removal(about)                     # plain sentences, as the datasheet and the Croissant file say them too
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from equime.publishing.about import About
from equime.publishing.documents.facts import Facts
from equime.publishing.documents.markdown import bullets, table, text
from equime.publishing.releasing import licences

LICENCE_URL: Final = "https://creativecommons.org/licenses/by-nc/4.0/"
CELEBA_URL: Final = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
LTX_URL: Final = "https://huggingface.co/Lightricks/LTX-Video"
PART: Final = "What the card says under Out of scope and Licence and terms is part of these terms."

INTENDED: Final = (
    "training and testing recognisers of micro-expressions and detectors of action units, always tested on real "
    "expressions too before anything is claimed of them",
    "auditing such models for differences between perceived groups",
    "training and testing models that describe faces in words",
    "studying generation, measurement and annotation of brief facial motion",
)
OUT_OF_SCOPE: Final = (
    "**re-identification**: finding out, or trying to find out, whose likeness a clip is",
    "**real-person likeness**: making a clip speak for, imitate or discredit a person; animating the faces further",
    "**emotion inference at work, in education**, in hiring, policing, border control or any decision about a person",
    "training or testing systems that recognise persons, or that guess gender, age or race of people",
    "**commercial use** of any kind",
    "conclusions about what people feel, or about how groups of people express what they feel: the expressions are "
    "planned, the same for every group",
)
LAW: Final = (
    "The European Union's AI Act (Regulation 2024/1689, https://eur-lex.europa.eu/eli/reg/2024/1689/oj) prohibits "
    "systems that infer emotions of people at the workplace and in education, except for medical or safety reasons "
    "(Article 5(1)(f)), and counts other systems that recognise emotions among those of high risk (Annex III), of "
    "which people must be told (Article 50). Generated likenesses of real people have to be disclosed as such (the "
    "same article). Faces of people who can be recognised are personal data under the General Data Protection "
    "Regulation and similar laws elsewhere, synthetic or not. What you build and where you use it is yours to check; "
    "this is no legal advice."
)


def sections(facts: Facts) -> Iterator[str]:
    """Use, licence, law, access and removal, a section each."""
    yield "## Intended use\n\n" + bullets(f"{item}." for item in INTENDED)
    yield "## Out of scope\n\n" + bullets(f"{item}." for item in OUT_OF_SCOPE)
    yield from ("## Licence and terms\n\n" + _licence(), *_permission(facts), *_origins(facts))
    yield "## The law\n\n" + LAW
    yield "## Access\n\n" + _access(facts)
    gone = "1 subject has" if facts.withdrawn == 1 else f"{facts.withdrawn or 'No'} subjects have"
    yield f"## Removal of a person\n\n{text(removal(facts.about))} {gone} been taken out so far."


def removal(about: About) -> str:
    """How a person gets out of the data set, in plain sentences."""
    return (
        "If you are shown here, speak for somebody who is, or hold rights to a picture that clips were made from, "
        f"write to {about.policy.contact}: a picture, or the subject's id, is enough, and no reason is needed. All "
        "clips of the subject, and the clips paired with them, are taken out in a patch release, which keeps them out "
        "of every later one; older versions are deleted from the repository. Copies that others hold cannot be called "
        "back: users are asked to keep to the newest version."
    )


def is_celeba(facts: Facts) -> bool:
    """Whether some source picture is CelebA's, by its recorded licence."""
    return any(map(licences.names_people, facts.licences))


def is_ltx(facts: Facts) -> bool:
    """Whether some clip was made by LTX-Video, by its row or by the models recorded."""
    return any("ltx" in name.lower() for name in (*facts.generators, *facts.models))


def gate(facts: Facts) -> dict[str, Any]:
    """The keys of the card's YAML that put the form before the data."""
    policy = facts.about.policy
    return {
        "extra_gated_heading": "Ask for access to EquiME",
        "extra_gated_prompt": f"{policy.terms} {PART} Questions and removal: {policy.contact}",
        "extra_gated_fields": policy.form,
        "extra_gated_button_content": "Agree and ask for access",
    }


def _licence() -> str:
    head = ("", "Licence: CC BY-NC 4.0", "Access terms, agreed to by everybody who is given access")
    rows = (
        (
            "covers",
            "annotations, and the clips as far as their makers hold rights in them",
            "every file of this data set",
        ),
        (
            "use",
            "non-commercial, any purpose",
            "non-commercial research by people with an institution; see Out of scope",
        ),
        ("passing on", "permitted with attribution", "not permitted: who wants the clips asks for access"),
        ("people shown", "privacy and publicity rights are not licensed", "no identification; see Out of scope"),
        ("attribution", "required", "required: cite as below, and name the version"),
    )
    return (
        table(head, rows)
        + f"\n\n[CC BY-NC 4.0]({LICENCE_URL}) is the licence; the access terms are a separate promise, "
        "and stricter. Who has given it keeps to both. Neither gives a right in the source pictures, which stay under "
        "their own terms."
    )


def _permission(facts: Facts) -> Iterator[str]:
    if facts.about.permission:
        yield f"Faces are passed on under this written permission: {text(facts.about.permission)}"


def _origins(facts: Facts) -> Iterator[str]:
    if is_celeba(facts):
        yield (
            f"**CelebA.** Some faces come from CelebA or CelebA-HQ. [Its agreement]({CELEBA_URL}) allows "
            "non-commercial research only, forbids handing on any portion of it, and forbids commercial use of its "
            "pictures and of what is derived from them. Who uses those faces here is bound by it as well."
        )
    else:
        yield "**CelebA.** No source picture is recorded as CelebA's."
    if is_ltx(facts):
        yield (
            f"**LTX-Video.** Clips were made with LTX-Video by Lightricks. [Each checkpoint]({LTX_URL}) comes with a "
            "licence of its own, with restrictions on use: that of the revision named under How it was made holds."
        )
    else:
        yield "**LTX-Video.** No clip is recorded as made with it."


def _access(facts: Facts) -> str:
    policy = facts.about.policy
    asked = "; ".join(text(label) for label in policy.form)
    return (
        f"{text(policy.terms)} {PART}\n\nThe files are gated. Log in to the Hub, open this page and fill in the form "
        f"({asked}). "
        f"A person decides on each request. Whoever cannot use the form writes to {text(policy.contact)} with "
        "institution, intended use and agreement to these terms. Then `hf auth login` and the code above."
    )
