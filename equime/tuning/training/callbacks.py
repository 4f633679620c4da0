"""What happens between the steps of a training: a bar, a history, states from which it can go on, Ctrl-C heard.

Ctrl-C and SIGTERM end the training after the step in hand, whose state is kept; a second one ends it at once.
"""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tqdm import tqdm

from equime.errors import EquimeError
from equime.optional import need
from equime.recognise.training.spread import processes
from equime.terminal import Ended

PICKLED_OPTIONS: Final = "training_args.bin"
"""What the trainer writes of its options beside each state: a pickle that nobody reads."""
_Callback: Any = need("transformers", extra="tune").TrainerCallback


class Watching(_Callback):  # type: ignore[misc]
    """Of one training.

    Attributes:
        history: One dict for each step that was logged: step, loss, lr, epoch.
        stopped: The signal that ended the training early; None where none did.
    """

    def __init__(self, first: bool) -> None:
        self.first = first
        self.history: list[dict[str, float]] = []
        self.stopped: int | None = None
        self._bar: Any = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Inside, the first signal is heard between two steps; afterwards it is raised.

        Several processes must not stop at different steps: there signals do what they always do.
        """
        alone = processes() == 1 and threading.current_thread() is threading.main_thread()
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM) if alone}

        def heard(number: int, frame: Any) -> None:
            self.stopped = number
            for known, handler in before.items():
                signal.signal(known, handler)
            if self._bar is not None:
                self._bar.set_description("tune: stopping after this step")

        try:
            for number in before:
                signal.signal(number, heard)
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            if self._bar is not None:
                self._bar.close()
        if self.stopped is not None:
            raise Ended if self.stopped == signal.SIGTERM else KeyboardInterrupt

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Show the bar from where the training goes on."""
        self.history = [_entry(log) for log in state.log_history if "loss" in log]
        hidden = None if self.first else True
        self._bar = tqdm(total=state.max_steps, initial=state.global_step, desc="tune", unit="step", disable=hidden)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Move the bar; stop and save where somebody asked for it."""
        self._bar.update(state.global_step - self._bar.n)
        if self.stopped is not None:
            control.should_save = control.should_training_stop = True

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        """Keep the loss, and refuse to go on without one."""
        if not logs or "loss" not in logs:
            return
        if not math.isfinite(logs["loss"]):
            raise EquimeError(
                f"the loss is {logs['loss']} after {state.global_step} steps: give a lower --lr, or --dtype float32"
            )
        self.history.append(_entry(logs | {"step": state.global_step}))
        self._bar.set_postfix(loss=f"{logs['loss']:.3f}", refresh=False)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Leave no pickle of options behind."""
        for path in Path(args.output_dir).glob(f"*/{PICKLED_OPTIONS}"):
            path.unlink(missing_ok=True)


def _entry(log: dict[str, Any]) -> dict[str, float]:
    return {"step": log["step"], "loss": log["loss"], "lr": log.get("learning_rate", 0.0), "epoch": log.get("epoch", 0)}
