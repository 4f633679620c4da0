"""The card of a tuned model: what it is, on what it learnt, how that was measured, what it is not for.

    render(told, history)                      # beside the run
    render(told, history, repo="owner/name")   # of its repository, with the form that asks for access

Names of models and data sets are written by others and are escaped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from equime.card import scalar
from equime.publishing.documents.markdown import bullets, many, number, table, text
from equime.recognise.run_card import FORM, TERMS
from equime.remote import is_repo

LICENCE: Final = "cc-by-nc-4.0"
LIMITS: Final = (
    "**Labels.** Emotions are *intended*: a programme of action units in a generated clip, not a felt emotion. Gender, "
    "age and race, where an evaluation groups by them, are *perceived*, never a person's own word.",
    "**Not for inferring emotions of people at work or in education**, which the European Union's AI Act prohibits "
    "(Regulation 2024/1689, Article 5(1)(f)), nor in hiring, policing, border control, or any decision about a person.",
    "**Research only.** It was trained on generated clips and may name units where nothing moves, on real faces above "
    "all: look at the hallucination on neutral clips, and at what it answers without the video, before believing it.",
    "The adapter stays under the terms of its base, too: read them.",
    "The record holds a hash of the id of each subject that it was trained on, so that it is not asked about them. Who "
    "knows an id can see whether it was among them. No picture, clip name or id is in the files.",
)


def render(told: Mapping[str, Any], history: Sequence[Mapping[str, float]], repo: str | None = None) -> str:
    """The card's text.

    Args:
        told: The run's record.
        history: Its steps.
        repo: "owner/name", where it is published.
    """
    parts = [_front_matter(told, repo), *_sections(told, history, repo)]
    return "\n\n".join(parts) + "\n"


def _front_matter(told: Mapping[str, Any], repo: str | None) -> str:
    base = told["base"]["id"]
    values: dict[str, Any] = {"license": LICENCE, "library_name": "peft", "pipeline_tag": "image-text-to-text"}
    if is_repo(base):
        values["base_model"] = base
    values["tags"] = ["micro-expression", "lora", "safetensors", "equime"]
    data = told["data"]["name"].partition("@")[0]
    if is_repo(data):  # the Hub takes its own names alone
        values["datasets"] = [data]
    if repo is not None:
        values |= {
            "extra_gated_heading": "Ask for access to this adapter",
            "extra_gated_prompt": TERMS.replace("networks", "models"),
            "extra_gated_fields": {name.replace("networks", "models"): kind for name, kind in FORM.items()},
            "extra_gated_button_content": "Agree and ask for access",
        }
    return "\n".join(["---", *(f"{key}: {scalar(value)}" for key, value in values.items()), "---"])


def _sections(told: Mapping[str, Any], history: Sequence[Mapping[str, float]], repo: str | None) -> Iterator[str]:
    asked, data = told["experiment"], told["data"]
    yield (
        f"# {text(told['base']['id'])}, tuned to describe micro-expressions\n\nAn adapter (LoRA) for "
        f"{text(told['base']['id'])} at `{text(told['base']['revision'])}`, trained by EquiME, software and data set "
        "of synthetic micro-expressions, to name facial action units (FACS), their sides, intensities and times."
    )
    if told["base"]["id"] == "tiny":
        yield "**The base is a tiny model with random weights**: it shows that the way works, and knows nothing."
    yield "## Data\n\n" + _data(data)
    yield "## Training\n\n" + _training(told, history)
    yield "## Measured\n\n" + (
        "The loss above is that of the training clips, and says nothing of others. Units named and made up, sides, "
        "intensities, emotions, by perceived group, against the constant answer, the blind model and shuffled videos: "
        f"`equime evaluate-captions {repo or 'RUN'} --data WHERE`. It refuses people that were trained on."
    )
    yield "## Use\n\n" + _use(asked, repo)
    yield "## Limits\n\n" + bullets(LIMITS)


def _data(data: Mapping[str, Any]) -> str:
    rows = [(text(task), count) for task, count in data["examples"].items()]
    return (
        f"{text(data['name'])}: {many(data['clips'], 'clip')} of {many(data['subjects'], 'subject')}, the training "
        f"split.\n\n{table(('task', 'examples'), rows)}\n\nSHA-256 of the questions, answers and "
        f"files: `{data['rows']}`."
    )


def _training(told: Mapping[str, Any], history: Sequence[Mapping[str, float]]) -> str:
    asked = told["experiment"]
    together = asked["batch_size"] * asked["accumulate"] * asked["processes"]
    memory = "not measured (CPU)" if told["memory_gb"] is None else f"{told['memory_gb']} GB at most"
    rows = [
        ("what it sees", text(_view(asked))),
        ("steps", f"{told['steps']:,} of {together} examples, learning rate {asked['lr']:g} ({asked['schedule']})"),
        ("adapter", f"rank {asked['lora_r']}, alpha {asked['lora_alpha']}, {text(asked['lora_targets'])}"),
        ("base kept in", "4 bits (NF4)" if asked["quantise"] == "4bit" else text(told["dtype"])),
        ("loss on the answers, nats a token", f"{number(history[0]['loss'])} -> {number(history[-1]['loss'])}"),
        ("memory of the GPU", memory),
        ("packages", ", ".join(f"{text(name)} {text(version)}" for name, version in told["packages"].items())),
    ]
    return table(("", ""), rows)


def _view(asked: Mapping[str, Any]) -> str:
    size = f" of {asked['size']} pixels" if asked["size"] else ""
    if asked["view"] == "keyframes":
        return f"onset, apex, offset{size} and their optical flow, at the planned times (an oracle)"
    if asked["view"] == "apex":
        return f"{asked['frames']} frames{size} in a row around the planned apex (an oracle)"
    return f"{asked['frames']} frames{size} spread over the clip"


def _use(asked: Mapping[str, Any], repo: str | None) -> str:
    name = repo or "runs/v"
    code = f'from equime.tuning.training.adapter import open_tuned\n\nprocessor, model, run = open_tuned("{name}")'
    return (
        f"```python\n{code}\n```\n\nor, without this package, `peft.PeftModel.from_pretrained(base, ...)`. Show it "
        f"what it was trained on: {text(_view(asked))}."
    )
