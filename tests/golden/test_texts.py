"""What a pharmacist reads, code by code: one alert of each code and severity, as it would go out.

Read the file as a pharmacist would at 07:00, line by line, whenever it changes.
"""

import pytest

from monitor.advance import advance, receive
from monitor.patient import Patient
from tests.differential.histories import MIXABLE, history
from tests.golden import holds
from tests.monitor.histories import DAY, facts_of, plan

SEEDS = 60


def first_of_each():
    """The first alert of each code and severity over a fixed row of histories."""
    found = {}
    for seed in range(SEEDS):
        for theme in (*MIXABLE, "mixed"):
            facts = facts_of(history(seed, theme))
            p = Patient(plan(), "p1")
            receive(p, facts)
            for change in advance(p, max(fact.recorded for fact in facts) + 30 * DAY):
                if change.alert.status in ("raised", "updated"):
                    found.setdefault((change.code, change.alert.severity), change.alert)
    return found


@pytest.mark.slow
def test_the_texts_of_every_code_and_severity():
    found = first_of_each()
    assert {code for code, _ in found} == set(plan().rule_data)
    parts = []
    for (code, severity), alert in sorted(found.items()):
        evidence = "; ".join(f"{one.at} {one.text}" for one in alert.evidence)
        parts.append(
            f"## {code}, {severity}\n\n**{alert.title}**\n\n{alert.detail}\n\n{alert.recommendation}\n\n"
            f"Evidence: {evidence}\n\nSources: {'; '.join(alert.references)}\n"
        )
        assert alert.title
        assert alert.detail.endswith(".")
        assert alert.recommendation.endswith(".")
        assert alert.references
    assert holds("texts.md", "\n".join(parts))
