"""Paths of control groups as engines write them, from their documentation and from issues that show them."""

import pytest

from monitor.identity.cgroup import Place, parse

ID = "3f4bd2a8a8d9e3a4c0c1b7e5f6d7a8b9c0d1e2f3a4b5c6d7e8f9a0b1c2d3e4f5"
INNER = "b5" * 32
POD = "7d0b1a2c-3e4f-5a6b-7c8d-9e0f1a2b3c4d"
POD_IN_SYSTEMD = POD.replace("-", "_")
STATIC_POD = "0a1b2c3d4e5f60718293a4b5c6d7e8f9"

CASES = {
    # systemd alone
    "0::/system.slice/nginx.service": Place("nginx.service"),
    "0::/user.slice/user-1000.slice/session-3.scope": Place("session-3.scope"),
    "0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-org.gnome.Terminal.slice/vte-spawn-1.scope":
        Place("vte-spawn-1.scope"),
    "0::/system.slice/system-getty.slice/getty@tty1.service": Place("getty@tty1.service"),
    "0::/init.scope": Place("init.scope"),
    "0::/": Place(),
    # Docker: both drivers, both versions
    f"0::/system.slice/docker-{ID}.scope": Place(None, ID),
    f"0::/docker/{ID}": Place(None, ID),
    f"12:pids:/docker/{ID}\n1:name=systemd:/docker/{ID}\n0::/system.slice/containerd.service":
        Place("containerd.service", ID),
    f"11:memory:/docker/{ID}/docker/{INNER}": Place(None, INNER),  # Docker in Docker
    f"0::/../../system.slice/docker-{ID}.scope": Place(None, ID),  # from inside a cgroup namespace
    # Podman: rootful, rootless, cgroupfs; its monitor is not the container
    f"0::/machine.slice/libpod-{ID}.scope/container": Place(None, ID),
    f"0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope/container":
        Place("user@1000.service", ID),
    f"10:pids:/libpod_parent/libpod-{ID}": Place(None, ID),
    f"0::/machine.slice/libpod-conmon-{ID}.scope": Place(f"libpod-conmon-{ID}.scope"),
    # Kubernetes: the cgroupfs and the systemd driver; containerd, CRI-O, Docker; kind; a static pod
    f"0::/kubepods/burstable/pod{POD}/{ID}": Place(None, ID, POD),
    f"4:cpu,cpuacct:/kubepods/pod{POD}/{ID}": Place(None, ID, POD),
    f"0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{POD_IN_SYSTEMD}.slice/"
    f"cri-containerd-{ID}.scope": Place(None, ID, POD),
    f"0::/kubepods.slice/kubepods-pod{POD_IN_SYSTEMD}.slice/crio-{ID}.scope": Place(None, ID, POD),
    f"0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{POD_IN_SYSTEMD}.slice/"
    f"docker-{ID}.scope": Place(None, ID, POD),
    f"0::/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/"
    f"kubelet-kubepods-besteffort-pod{POD_IN_SYSTEMD}.slice/cri-containerd-{ID}.scope": Place(None, ID, POD),
    f"0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{STATIC_POD}.slice/"
    f"cri-containerd-{ID}.scope": Place(None, ID, STATIC_POD),
    f"0::/kubepods.slice/kubepods-pod{POD_IN_SYSTEMD}.slice/crio-conmon-{ID}.scope":
        Place(f"crio-conmon-{ID}.scope", None, POD),
    # nerdctl, Amazon ECS, LXC, systemd-nspawn
    f"0::/system.slice/nerdctl-{ID}.scope": Place(None, ID),
    f"9:memory:/ecs/8f1c0c5e8f4f4b6d9a7e/{ID}": Place(None, ID),
    "0::/lxc.payload.web1/system.slice/nginx.service": Place("nginx.service", "web1"),
    "0::/machine.slice/systemd-nspawn@db.service/payload": Place(None, "db"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "place"), CASES.items(), ids=range(len(CASES)))
def test_known_forms(text: str, place: Place) -> None:
    assert parse(f"{text}\n") == place


@pytest.mark.parametrize(
    "text",
    ["", "\n", "0", "0:", "a:b", "0::", "0::/docker/abc", f"0::/docker/{ID}x", "0::/pod", "0::/a" * 2000],
)
def test_what_is_none_of_them(text: str) -> None:
    assert parse(text) == Place()
