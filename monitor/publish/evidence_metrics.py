"""The metric families about evidence: the ring on disk, flow rows, capsules."""

from collections.abc import Iterator

from monitor.publish.families import Family, by, counter, gauge, single
from monitor.publish.snapshot import Snapshot

NANOSECONDS = 10**9


def collect(snapshot: Snapshot) -> Iterator[Family]:
    """Give what the evidence beside the line keeps and loses; nothing where none is kept."""
    kept = snapshot.counters.evidence
    if kept is None:
        return
    yield counter(
        "egress_evidence_kept_frames_total",
        "Frames that the ring on disk kept.",
        (),
        single(kept.kept_frames),
    )
    yield counter(
        "egress_evidence_shed_frames_total",
        "Frames that the ring on disk did not keep: it was slower than the traffic, or took nothing.",
        ("reason",),
        by(kept.shed_frames),
    )
    yield gauge(
        "egress_evidence_bytes", "Bytes of evidence on disk, by what it is.", ("what",), by(kept.bytes)
    )
    yield gauge(
        "egress_evidence_oldest_timestamp_seconds",
        "Time of the oldest packet in the ring; 0 where there is none.",
        (),
        single(kept.oldest / NANOSECONDS),
    )
    yield counter("egress_evidence_capsules_total", "Capsules written.", (), single(kept.capsules))
    yield counter(
        "egress_evidence_lost_total",
        "Capsules and flow rows that were not kept: no room in the queue, or none on the disk.",
        ("what",),
        by(kept.lost),
    )
    yield counter(
        "egress_evidence_removed_capsules_total",
        "Capsules that went because of the bounds of evidence.capsules.",
        (),
        single(kept.removed),
    )
