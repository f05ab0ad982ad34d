"""One file for each clinical question. A rule is in force when its file is listed here and its table is in the
knowledge."""

from monitor.plan import Kind
from monitor.rules import aki, baseline_labs, calcium, counts, data, limits, overdue

KINDS: dict[str, Kind] = {
    **aki.KINDS,
    **counts.KINDS,
    **limits.KINDS,
    **calcium.KINDS,
    **overdue.KINDS,
    **baseline_labs.KINDS,
    **data.KINDS,
}
