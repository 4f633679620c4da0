"""What a causal model says, in numbers and in a few lines: behind `equime causal show`.

summary_lines(EmotionModel.from_tables())
"""

from __future__ import annotations

from typing import Any

from equime import schema
from equime.causal import ARROWS, EmotionModel
from equime.scm.unit_fit import WEAK_PAIRS

COMMONEST = 5
"""Units named for each emotion."""


def summary(model: EmotionModel) -> dict[str, Any]:
    """The model's figures, as `equime causal show --json` prints them."""
    return {
        "arrows": [list(arrow) for arrow in ARROWS],
        "emotions": {
            emotion: {
                "units_a_clip": units.mean,
                "units": {str(au): units.chance(au) for au in sorted(units.units)},
                "rests_on": units.shares,
                "weak_pairs_log_odds_ratio": {
                    f"{a}-{b}": units.log_odds_ratio(a, b) for a, b in WEAK_PAIRS if units.units.issuperset((a, b))
                },
                "dropped": {str(au): marks for au, marks in units.dropped.items()},
            }
            for emotion, units in model.units.items()
        },
        "units_a_clip": units_a_clip(model),
        "borrowed": {
            emotion: {"lacking": list(one.lacking), "shares": dict(one.shares)}
            for emotion, one in model.borrowed.items()
        },
        "intensities": {emotion: one.to_dict() for emotion, one in model.intensities.items()},
        "sides": {emotion: one.to_dict() for emotion, one in model.sides.items()},
        "times": {emotion: one.to_dict() for emotion, one in model.times.items()},
        "dropped_share": model.dropped_share(),
        "ceiling": model.ceiling().to_dict(),
    }


def units_a_clip(model: EmotionModel) -> float:
    """Mean units a clip of a data set that holds the five emotions equally often."""
    return sum(model.units[emotion].mean for emotion in schema.EMOTIONS) / len(schema.EMOTIONS)


def summary_lines(model: EmotionModel) -> list[str]:
    """The same for people, shorter."""
    borrowed, best = model.borrowed, model.ceiling()
    lines = [
        "D (perceived gender, age band, race) -> face",
        "E (intended emotion) -> A (action units);  E, A -> intensity, side, times;  nothing leads from D to these",
        "",
        f"{'emotion':10} {'units a clip':12}  commonest units",
    ]
    for emotion, units in model.units.items():
        chances = sorted(((units.chance(au), au) for au in units.units), reverse=True)[:COMMONEST]
        lines.append(f"{emotion:10} {units.mean:12.2f}  " + "  ".join(f"{au}: {chance:.2f}" for chance, au in chances))
    lines += [f"{'the five':10} {units_a_clip(model):12.2f}", ""]
    lines += [f"{emotion} rests on {one}" for emotion, one in borrowed.items()]
    if not borrowed:
        lines.append("no emotion borrows from another set or from prototypes")
    same = all(len({repr(one.to_dict()) for one in part.values()}) == 1 for part in (model.intensities, model.times))
    return [
        *lines,
        f"intensity and times are {'the same for every emotion' if same else 'fitted for each emotion'}",
        f"{model.dropped_share()['overall']:.1%} of the coded unit marks are of units that are not drawn",
        f"ceiling of any recogniser of emotion from units: UF1 {best.uf1:.3f} (none exceeds {best.bound:.3f}), "
        f"accuracy {best.accuracy:.3f}; always the same emotion: UF1 {best.majority:.3f}",
    ]
