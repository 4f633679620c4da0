"""The card of a published run: what the networks are, what they were trained on, how well they did, what they are not.

    render(manifest, scores, repo="owner/name", networks=260, seeds=5)

Every number comes from the run's own predictions, beside what guessing scores. Names of classes, data sets and options
are written by others and are escaped.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from equime.bootstrap import Estimate
from equime.card import scalar
from equime.publishing.about import COUNTRY, INSTITUTION, LICENCE, USE
from equime.publishing.documents.markdown import bullets, many, number, table, text
from equime.recognise.equime_clips import DATASET
from equime.recognise.readers.sets import SETS
from equime.scores import Scores

FORM: Final[Mapping[str, str]] = {
    INSTITUTION: "text",
    COUNTRY: "country",
    USE: "text",
    "I will use the networks for non-commercial research only": "checkbox",
    "I agree to the terms of access": "checkbox",
}
TERMS: Final = (
    "Access is for non-commercial research by people with an institutional affiliation. Do not infer emotions of "
    "people at work or in education with these networks, do not decide about anybody by them, and do not pass them on."
)
LIMITS: Final = (
    "**Labels.** Emotions of generated or acted clips are *intended*: a programme of action units, not a felt emotion. "
    "Emotions of recorded clips are as their owners coded them. Gender, age and race, where a protocol uses them, are "
    "*perceived*, never a person's own word.",
    "**Not for inferring emotions of people at work or in education**, which the European Union's AI Act prohibits "
    "(Regulation 2024/1689, Article 5(1)(f)), nor in hiring, policing, border control, or any decision about a person.",
    "**Research only.** A network answers with one of its classes whatever it is shown; it has no answer for a face "
    "that does nothing, and its probabilities are not calibrated.",
    "The scores hold for these data sets, this feature and people like those recorded there. Intervals are over "
    "subjects; where there are few they are wide, and too narrow still for people of other groups.",
    "The networks hold a hash of the id of each subject that they were trained on, so that they are not asked about "
    "them. Who knows an id can see whether it was among them. No picture, clip name or id is in the files.",
)


def render(run: Mapping[str, Any], scores: Scores, *, repo: str, networks: int, seeds: int) -> str:
    """The card's text.

    Args:
        run: The published manifest.
        scores: Of all the run's predictions.
        repo: "owner/name".
        networks: How many are in the repository.
        seeds: Of how many seeds.
    """
    parts = [_front_matter(run), *_sections(run, scores, repo, networks, seeds)]
    return "\n\n".join(parts) + "\n"


def _front_matter(run: Mapping[str, Any]) -> str:
    values = {
        "license": LICENCE,
        "library_name": "equime",
        "tags": ["micro-expression", "video-classification", "safetensors", run["experiment"]["model"]],
        "datasets": list(run["data"]["sets"]),
        "metrics": ["f1", "recall", "accuracy"],
        "extra_gated_heading": "Ask for access to these networks",
        "extra_gated_prompt": TERMS,
        "extra_gated_fields": FORM,
        "extra_gated_button_content": "Agree and ask for access",
    }
    return "\n".join(["---", *(f"{key}: {scalar(value)}" for key, value in values.items()), "---"])


def _sections(run: Mapping[str, Any], scores: Scores, repo: str, networks: int, seeds: int) -> Iterator[str]:
    yield _opening(run, scores, networks, seeds)
    yield "## Data\n\n" + _data(run)
    yield "## Training\n\n" + _training(run)
    yield "## Scores\n\n" + _scores(run, scores)
    yield "## Use\n\n" + _use(repo)
    yield "## Limits\n\n" + bullets(LIMITS)


def _opening(run: Mapping[str, Any], scores: Scores, networks: int, seeds: int) -> str:
    trained = run["experiment"]
    lines = [
        f"# {text(run['title'])}: micro-expressions as {text(trained['target'])}",
        f"{many(networks, 'network')} of {many(len(run['folds']), 'fold')} and {seeds} of {trained['seeds']} seeds, "
        f"trained by EquiME, software and data set of synthetic micro-expressions. UF1 {_estimate(scores.uf1)}, UAR "
        f"{_estimate(scores.uar)} (95 % over subjects); always the best one answer scores UF1 "
        f"{number(scores.majority.uf1)}.",
    ]
    if trained["control"]:
        lines.append(
            f"**A control, broken on purpose: {text(trained['control'])}.** It shows what is learnt from nothing; it "
            "recognises nothing."
        )
    return "\n\n".join(lines + _verdict(scores))


def _verdict(scores: Scores) -> list[str]:
    if scores.collapsed:
        return [f"**Collapsed in {scores.collapsed} of {scores.seeds} seeds**: nearly one answer to every clip."]
    if not scores.above_constant:
        return ["**Not shown to be better than always giving the best constant answer.**"]
    if not scores.above_guessing:
        return ["**Not shown to be better than answers drawn with the classes' shares.**"]
    return []


def _data(run: Mapping[str, Any]) -> str:
    sets = [(_set(name), held["samples"], held["subjects"]) for name, held in run["data"]["sets"].items()]
    classes = [(text(name), count) for name, count in run["data"]["classes"].items()]
    left_out = "Samples without a label or a feature were left out. " if run["problems"] else ""
    return "\n\n".join(
        [
            table(("data set", "clips", "subjects"), sets),
            table(("class", "clips"), classes),
            f"{left_out}Each data set stays under its owners' terms, which may bind what is made of it, too: "
            f"read them. SHA-256 of the samples' table `{run['data']['rows']}`, of their features "
            f"`{run['data']['features']}`.",
        ]
    )


def _set(name: str) -> str:
    layout = SETS.get(name)
    if layout is not None:
        return f"{text(layout.title)} ({text(layout.citation)})"
    return "EquiME (generated; emotions intended)" if name == DATASET else text(name)


def _training(run: Mapping[str, Any]) -> str:
    trained = run["experiment"]
    rows = [
        ("network", text(trained["model"])),
        ("protocol", text(trained["protocol"])),
        ("folds, no subject on both sides", f"{len(run['folds']):,}"),
        ("seeds", str(trained["seeds"])),
        ("what it sees", _options(trained["feature"])),
        ("recipe", _options(trained["recipe"])),
        ("packages", _options(run["packages"])),
        ("commit of EquiME", text(run["commit"] or "not recorded")),
    ]
    return table(("", ""), rows) + (
        "\n\nTest clips have no part in training: neither in choosing the epoch nor in scaling the features. "
        "`run.json` holds all of this; `weights.json` the SHA-256 of each network, which is compared on loading."
    )


def _options(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{text(name)} {text('not set' if value is None else value)}" for name, value in values.items())


def _scores(run: Mapping[str, Any], scores: Scores) -> str:
    rows = [(name, _estimate(found), number(one), number(drawn)) for name, found, one, drawn in scores.rows()]
    spread = f" Standard deviation of UF1 over the seeds: {number(scores.uf1_sd)}." if scores.seeds > 1 else ""
    return "\n\n".join(
        [
            f"{many(sum(scores.support), 'clip')} of {many(scores.subjects, 'subject')}, each tested by networks that "
            f"never saw its subject; protocol {text(run['experiment']['protocol'])}. Counts are pooled over the folds, "
            f"scores are means over {many(scores.seeds, 'seed')}, intervals of 95 % are over subjects.{spread}",
            table(("score", "here (95 %)", "one answer", "drawn with the classes' shares"), rows),
            _by_class(scores),
            "Confusion, mean counts over the seeds; a row is the truth, a column the answer:",
            _confusion(scores),
        ]
    )


def _estimate(found: Estimate) -> str:
    between = "" if math.isnan(found.low) else f" ({number(found.low)} to {number(found.high)})"
    return f"{number(found.value)}{between}"


def _by_class(scores: Scores) -> str:
    columns = zip(scores.classes, scores.support, scores.f1, scores.recall, scores.precision, strict=True)
    rows = [(text(name), count, number(f1), number(recall), number(sure)) for name, count, f1, recall, sure in columns]
    return table(("class", "clips", "F1", "recall", "precision"), rows)


def _confusion(scores: Scores) -> str:
    names = [text(name) for name in scores.classes]
    rows = [(name, *(number(count, 1) for count in row)) for name, row in zip(names, scores.confusion, strict=True)]
    return table(("", *names), rows)


def _use(repo: str) -> str:
    return f"""Ask for access above, then `hf auth login` and

```bash
pip install "equime[recognise]"
equime predict {repo} --data WORKSPACE --out answers.parquet
equime evaluate answers.parquet
```

`--data` is a workspace of EquiME or `NAME=PATH` of a public data set. Each seed's answer is the mean of its networks \
that have not seen the clip's subject; a clip whose subject all of them have seen gets none."""
