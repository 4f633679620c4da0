"""Key frames: where among the generated frames the face is shown to the condition pipeline, and what it shows there.

Neutral first, at rest before the expression, at its apex, at rest after it, neutral last. The pipeline takes a single
picture at any frame, so a planned time is rounded to the nearest frame alone. What the model makes of it is another
matter: one step of its latents covers 8 frames, and pictures closer than that speak to the same step.
"""

from __future__ import annotations

from typing import Literal

from equime.generators.slowdown import Window

Face = Literal["neutral", "apex"]
Keys = tuple[tuple[int, Face], ...]

FIRST: Keys = ((0, "neutral"),)


def keys(stretch: Window, apex_ms: float | None) -> Keys:
    """(generated frame, face), in order of frames, each frame once.

    Args:
        stretch: Of the clip that is generated.
        apex_ms: When the displacement peaks, in ms from the clip's start; None where there is no expression.
    """
    found: dict[int, Face] = {0: "neutral", stretch.rests_until: "neutral", stretch.rests_from: "neutral"}
    found[stretch.generated - 1] = "neutral"
    if apex_ms is not None:
        found[stretch.planned_frame(apex_ms)] = "apex"
    return tuple(sorted(found.items()))
