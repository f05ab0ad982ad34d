"""The monitor against the slow evaluator, over random histories: every episode, its times and its severities."""

import json
import os

import pytest

from monitor.advance import advance, receive
from monitor.events import Gate, decoder
from monitor.patient import Patient
from monitor.times import iso
from streams.knowledge_files import read_plan
from tests.differential import oracle
from tests.differential.histories import THEMES, history

RANK = {"info": 0, "warning": 1, "critical": 2}
MANY = os.environ.get("CMVIGIL_HISTORIES", "40")
"""How many seeds for each theme, from 100 on; or a part such as `5000-5400`."""
PLAN = read_plan([])


def monitored(events):
    """What the monitor says of a history, in the form of the slow evaluator."""
    gate = Gate(PLAN)
    facts = [gate.admit(decoder.decode(json.dumps(event))) for event in events]
    p = Patient(PLAN, events[0]["patient_id"])
    receive(p, [fact for fact in facts if fact is not None])
    advance(p, max(fact.recorded for fact in facts if fact is not None))
    found = []
    for fold in p.folds.values():
        rule = fold.rule
        for one in fold.episodes:
            severities = [rule.severities[level] for _, level in one.steps]
            worst = max(severities, key=RANK.get)
            end = None if one.end is None else iso(one.end)
            found.append((rule.code, one.drug, rule.subject, iso(one.onset), end, severities[-1], worst))
    return sorted(found, key=lambda one: tuple(part or "" for part in one))


def expected(events):
    (found,) = oracle.judge(events).values()
    return sorted((tuple(one) for one in found), key=lambda one: tuple(part or "" for part in one))


@pytest.mark.parametrize("theme", [*THEMES, "mixed"])
@pytest.mark.parametrize("seed", range(6))
def test_agrees_on_a_few_histories(theme, seed):
    events = history(seed, theme)
    assert monitored(events) == expected(events)


SETTLED = (
    ("bands", 914),
    ("bands", 40128),
    ("cidofovir", 20085),
    ("cidofovir", 30278),
    ("combinations", 20045),
    ("data", 50650),
    ("foscarnet", 7214),
    ("marrow", 834),
    ("mixed", 760),
    ("mixed", 834),
    ("mixed", 3282),
    ("mixed", 3324),
    ("mixed", 3332),
    ("mixed", 3452),
    ("mixed", 20055),
    ("mixed", 20077),
    ("mixed", 20338),
    ("mixed", 30169),
    ("mixed", 40054),
    ("mixed", 40265),
    ("off-therapy", 7191),
    ("off-therapy", 20117),
    ("tangled", 32),
    ("tangled", 77),
    ("tangled", 155),
    ("tangled", 306),
    ("tangled", 543),
    ("tangled", 20250),
    ("tangled", 40274),
    ("virus", 20051),
    ("virus", 20272),
    ("virus", 40002),
    ("virus", 40045),
    ("virus", 40498),
    ("virus", 60026),
    ("virus", 70056),
)


@pytest.mark.parametrize(("theme", "seed"), SETTLED)
def test_agrees_where_it_once_did_not(theme, seed):
    events = history(seed, theme)
    assert monitored(events) == expected(events)


@pytest.mark.slow
@pytest.mark.parametrize("theme", [*THEMES, "mixed"])
def test_agrees_on_many_histories(theme):
    first, _, last = MANY.rpartition("-")
    start = int(first or 100)
    for seed in range(start, int(last) if first else start + int(last)):
        events = history(seed, theme)
        assert monitored(events) == expected(events), f"history({seed}, {theme!r})"
