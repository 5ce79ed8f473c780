"""Label values of the metrics: closed sets only (design section 7).

What folds to which word is said in one place, `monitor/hotpath/publishcore/src/labels.rs`, because traffic
is summed there.
"""

from monitor._hotpath import fold_provider, fold_workload

__all__ = ["OTHER", "fold_provider", "fold_workload"]

OTHER = "other"  # what has no row of its own
