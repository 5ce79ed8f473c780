"""Unit, container and pod out of the control groups of a process (cgroups(7), ``/proc/PID/cgroup``).

Engines write their ids into the path, each in its own way and in two more for systemd's and cgroupfs's
driver; the forms known here are those of Docker, containerd (also nerdctl and kind), CRI-O, Podman,
Amazon ECS, LXC and systemd-nspawn, under version 1 and 2.
"""

import re
from typing import NamedTuple

_ID = r"[0-9a-f]{64}"
# of one component of the path
_CONTAINER = re.compile(rf"(?:(?:docker|cri-containerd|crio|libpod|nerdctl)-)?(?P<id>{_ID})(?:\.scope)?")
_LXC = re.compile(r"lxc\.payload\.(?P<name>.+)")
_NSPAWN = re.compile(r"systemd-nspawn@(?P<name>.+)\.service")
# 8-4-4-4-12 digits with - or, in systemd's names, _ between them; of a static pod 32 digits
_POD = re.compile(
    r"(?:kube.*-)?pod(?P<uid>[0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{32})(?:\.slice)?"
)
_UNITS = (".service", ".scope", ".socket", ".mount", ".swap")


class Place(NamedTuple):
    """Where a process runs; None: not in one, or not known."""

    unit: str | None = None  # systemd's, the innermost that is not a container
    container: str | None = None  # id of 64 hexadecimal digits; LXC and nspawn: its name
    pod: str | None = None  # UID of the Kubernetes pod, with dashes as the API writes it


def parse(text: str) -> Place:
    """Read ``/proc/PID/cgroup``: lines of ``number:controllers:path``.

    Under version 1 there is a path for each controller. They agree as a rule; where they do not, the one
    that tells most counts, for container and pod; the unit is that of systemd's own hierarchy.
    """
    places: list[tuple[bool, Place]] = []
    for line in text.splitlines():
        fields = line.split(":", 2)
        if len(fields) == 3:
            number, controllers, path = fields
            places.append((number == "0" or controllers == "name=systemd", _of_path(path)))
    inside = max((place for _, place in places), key=_told, default=Place())
    units = [place.unit for is_systemd, place in places if is_systemd and place.unit]
    return inside._replace(unit=units[0] if units else inside.unit)


def _told(place: Place) -> tuple[bool, bool]:
    return place.container is not None, place.pod is not None


def _of_path(path: str) -> Place:
    place = Place()
    for name in path.split("/"):
        pod = _POD.fullmatch(name)
        container = _CONTAINER.fullmatch(name) or _LXC.fullmatch(name) or _NSPAWN.fullmatch(name)
        if pod:
            uid = pod["uid"].replace("_", "-")
            place = place._replace(pod=uid, container=None)
        elif container:
            # a container in a container: the innermost; a unit outside it started it, and is not its own
            place = place._replace(container=container[1])
        elif name.endswith(_UNITS):
            place = place._replace(unit=name)
    return place
