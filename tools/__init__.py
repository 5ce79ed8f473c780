"""What those who work on this use: benchmarks, made traffic, generators of what is committed."""

import sys
from pathlib import Path

# what is asked is what is installed: the sources beside this lack the compiled part, and must not come first
_CHECKOUT = str(Path(__file__).resolve().parent.parent)
sys.path[:] = [*(place for place in sys.path if str(Path(place).resolve()) != _CHECKOUT), _CHECKOUT]
