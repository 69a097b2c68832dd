"""Has the tests find the package, and the lab's that it uses."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "scripts" / "lab")]
