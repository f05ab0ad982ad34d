"""The kept history: state stays bounded, and nothing that is said differs for it."""

import pytest

from monitor import keep
from monitor.advance import advance, receive
from monitor.patient import Patient
from monitor.state import dump, load
from monitor.times import ALWAYS
from tests.monitor.histories import DAY, moved, plan, random_facts, said


def years(seed, apart=480):
    """Three stays of one patient, more than a year apart."""
    facts = random_facts(seed)
    for i in (1, 2):
        facts += moved(random_facts(seed + 1000 * i), apart * i)
    return sorted(facts, key=lambda fact: fact.recorded)


@pytest.mark.parametrize("seed", range(24))
def test_forgetting_changes_nothing_that_is_said(seed, monkeypatch):
    facts = years(seed)
    end = facts[-1].recorded + 30 * DAY
    p = Patient(plan(), "p1")
    receive(p, facts)
    forgetting = said(advance(p, end))
    assert p.kept_from > ALWAYS
    monkeypatch.setattr(keep, "_oldest", lambda p: end)
    q = Patient(plan(), "p1")
    receive(q, facts)
    assert said(advance(q, end)) == forgetting
    assert len(q.lab_facts) + len(q.dose_facts) > len(p.lab_facts) + len(p.dose_facts)


def test_a_restart_after_forgetting_says_nothing_new():
    facts = years(5)
    p = Patient(plan(), "p1")
    receive(p, facts)
    advance(p, facts[-1].recorded)
    q = load(plan(), "p1", dump(p)).patient
    end = facts[-1].recorded + 60 * DAY
    assert said(advance(q, end)) == said(advance(p, end))


def test_what_is_forgotten_is_gone_from_the_bytes_too():
    facts = years(5)
    p = Patient(plan(), "p1")
    receive(p, facts)
    middle = facts[len(facts) // 2].recorded
    advance(p, middle)
    before = dump(p)
    advance(p, facts[-1].recorded + 60 * DAY)
    after = dump(p)
    assert p.kept_from > ALWAYS
    assert load(plan(), "p1", before).patient.lab_facts.keys() - p.lab_facts.keys()
    assert load(plan(), "p1", after).patient.lab_facts == p.lab_facts


def test_a_patient_with_nothing_inside_keep_is_reduced_to_what_is_timeless():
    facts = random_facts(4)
    p = Patient(plan(), "p1")
    receive(p, facts)
    advance(p, facts[-1].recorded + 200 * DAY)
    assert p.lab_facts or p.dose_facts
    p.clock += 300 * DAY
    keep.prune(p)
    assert not p.lab_facts
    assert not p.dose_facts
    assert all(not column.t for column in (*p.given.values(), *filter(None, p.series)))
    assert p.people


def test_what_happened_before_the_kept_history_is_handed_back():
    facts = years(5)
    p = Patient(plan(), "p1")
    receive(p, facts)
    advance(p, facts[-1].recorded)
    old = next(fact for fact in facts if hasattr(fact, "at") and fact.at < p.kept_from)
    assert receive(p, [old]) == [old]
    assert not p.inbox


def test_statements_that_were_stated_anew_are_forgotten():
    facts = years(4)
    person = next(fact for fact in facts if not hasattr(fact, "at"))
    p = Patient(plan(), "p1")
    statements = [
        type(person)(f"P{i}", person.recorded + i * DAY, person.birth, person.sex, *[None] * 4, bool(i % 2), None)
        for i in range(40)
    ]
    receive(p, [*facts, *statements])
    advance(p, facts[-1].recorded + 30 * DAY)
    assert len(p.people) <= 3
    assert p.on_dialysis(p.clock)
