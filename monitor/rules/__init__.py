"""One file for each clinical question. A rule is in force when its file is listed here and its table is in the
knowledge.
"""

from monitor.plan import Kind
from monitor.rules import (
    aki,
    bands,
    baseline_labs,
    calcium,
    cidofovir,
    cidofovir_rise,
    clearance,
    combinations,
    companions,
    counts,
    data,
    foscarnet,
    interleaved,
    limits,
    overdue,
    protection,
    response,
    surveillance,
    viremia,
)

KINDS: dict[str, Kind] = {
    **aki.KINDS,
    **cidofovir_rise.KINDS,
    **cidofovir.KINDS,
    **foscarnet.KINDS,
    **bands.KINDS,
    **protection.KINDS,
    **combinations.KINDS,
    **counts.KINDS,
    **limits.KINDS,
    **calcium.KINDS,
    **overdue.KINDS,
    **baseline_labs.KINDS,
    **surveillance.KINDS,
    **response.KINDS,
    **clearance.KINDS,
    **viremia.KINDS,
    **companions.KINDS,
    **interleaved.KINDS,
    **data.KINDS,
}
