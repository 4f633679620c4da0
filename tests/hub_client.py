"""Clients of the test Hub, each in a process of its own that starts at once.

    client = Client(["-m", "equime", "verify", "org/set"], hub.environment(home, "hf_ada"), home)
    client.pid                  # to be killed by
    client.wait()               # subprocess.CompletedProcess

huggingface_hub reads its settings when it is imported, so that every client needs a process. Most of a process's
first second goes into libraries that read none, though: one process imports these, and forks a child for each client,
which takes the client's environment and goes on as `python` would with the same arguments.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parents[1]
NEUTRAL = (
    "av", "cv2", "fsspec.caching", "matplotlib.backends.backend_agg", "matplotlib.figure", "numpy", "pandas",
    "PIL.Image", "pyarrow.compute", "pyarrow.dataset", "pyarrow.parquet", "tqdm.auto", "wrapt", "yaml",
)  # fmt: skip
"""What takes long to import and is the same for every client."""


@functools.cache
def _server() -> subprocess.Popen[str]:
    """The process that forks; it ends with this one."""
    server = subprocess.Popen(
        [sys.executable, __file__], env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    atexit.register(server.communicate)
    return server


class Client:
    """A client that runs.

    Args:
        arguments: As `python` takes them: "-m", a module and its arguments, or "-c", code and its arguments.
        environment: All of its variables.
        folder: Where it runs.
        stdin: The file, or terminal, that it reads.
        timeout: Seconds after which it is killed.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        *,
        stdin: str = os.devnull,
        timeout: float = 100,
    ) -> None:
        self.arguments = list(arguments)
        self._output = tempfile.TemporaryDirectory()
        self._files = [f"{self._output.name}/{name}" for name in ("stdout", "stderr")]
        asked = {"arguments": self.arguments, "environment": dict(environment), "folder": str(folder)}
        server = _server()
        assert server.stdin and server.stdout
        print(json.dumps(asked | {"files": [stdin, *self._files]}), file=server.stdin, flush=True)
        self._answers = server.stdout
        self.pid = int(self._answers.readline())
        self._timer = threading.Timer(timeout, self.kill)
        self._timer.start()

    def runs(self) -> bool:
        """Whether it has not ended yet."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, 0)
            return True
        return False

    def kill(self) -> None:
        """Kill it, if it still runs."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> subprocess.CompletedProcess[str]:
        """What it said, once it has ended; a killed one's code is `-signal.SIGKILL`."""
        code = int(self._answers.readline())
        self._timer.cancel()
        said = [Path(file).read_text(encoding="utf-8") for file in self._files]
        self._output.cleanup()
        return subprocess.CompletedProcess(self.arguments, code, *said)


def _serve() -> None:
    """Fork a child for each line of JSON that comes in; its id and, once it has ended, its exit code go out."""
    for name in NEUTRAL:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.freeze()
    for line in sys.stdin:
        if not (child := os.fork()):
            _run(**json.loads(line))
        os.write(1, b"%d\n" % child)
        os.write(1, b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def _run(arguments: list[str], environment: dict[str, str], folder: str, files: list[str]) -> NoReturn:
    """In the child: be the client."""
    for number, (file, how) in enumerate(zip(files, (os.O_RDWR, *[os.O_WRONLY | os.O_CREAT] * 2), strict=True)):
        os.dup2(os.open(file, how), number)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.path[0] = ""
    kind, what, *rest = arguments
    sys.argv = [kind, *rest]
    code: object = 0
    try:
        if kind == "-m":
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        else:
            exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})
    except SystemExit as ended:
        code = ended.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 1)  # taking down what was imported would take longer than the rest


if __name__ == "__main__":
    _serve()
