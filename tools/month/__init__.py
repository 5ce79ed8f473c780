"""A month of made traffic of a backend, with eight leaks among the normal work, for the shipped rules.

What is normal here is what real backends do and rules must bear: day and week, deploys, image pulls,
crawlers at the published shop, backups, package updates, logs to a service, mail, webhooks to anybody, time,
pings, scanners. Everything follows from the seed and the parameters.
"""

import sys
from pathlib import Path

# what is tried is what is installed: the sources beside this lack the compiled part, and must not come first
_CHECKOUT = str(Path(__file__).resolve().parents[2])
sys.path[:] = [*(place for place in sys.path if str(Path(place).resolve()) != _CHECKOUT), _CHECKOUT]
