"""In a checkout the builders stand in `builders/` beside this package; an installed copy has them inside."""

from pathlib import Path

__path__ = [str(Path(__file__).resolve().parents[1] / "builders")]
