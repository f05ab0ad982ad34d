"""What must hold for random histories: any order of arrival, repetition and batching end in the same alerts."""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.advance import advance, receive
from monitor.evaluation import evaluate
from monitor.patient import Patient
from monitor.state import dump, load
from tests.differential.histories import THEMES, history
from tests.monitor.histories import DAY, episodes, facts_of, plan

HISTORIES = st.tuples(st.integers(0, 10_000), st.sampled_from([*THEMES, "mixed"]))
FEW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)


def facts(which):
    seed, theme = which
    return facts_of(history(seed, theme))


def in_order(found, end):
    p = Patient(plan(), "p1")
    receive(p, found)
    return p, advance(p, end)


def final(changes):
    """The last of every alert that was not retracted: its id, state and severity."""
    last = {change.alert.alert_id: change.alert for change in sorted(changes)}
    return {key: (one.state, one.severity) for key, one in last.items() if one.state != "retracted"}


def contents(changes):
    found = {}
    for change in changes:
        key = change.alert.alert_id, change.seq
        assert key not in found, "one (alert_id, seq) with two contents"
        found[key] = change.alert
    return found


@FEW
@given(HISTORIES, st.randoms(use_true_random=False), st.integers(1, 6))
def test_any_order_of_arrival_and_any_batches_end_in_the_same_alerts(which, rng, batches):
    found = facts(which)
    end = max(fact.recorded for fact in found) + 20 * DAY
    expected = final(in_order(found, end)[1])
    shuffled = found + rng.sample(found, len(found) // 3)
    rng.shuffle(shuffled)
    p = Patient(plan(), "p1")
    changes = []
    for i in range(batches):
        receive(p, shuffled[i::batches])
        # The clock may run ahead of what has arrived: all the rest comes late.
        changes += advance(p, end if rng.random() < 0.5 else rng.choice(found).recorded)
    changes += advance(p, end)
    assert final(changes) == expected
    contents(changes)


@FEW
@given(HISTORIES, st.integers(2, 40))
def test_many_small_steps_say_what_one_step_says(which, steps):
    found = facts(which)
    start, end = min(fact.recorded for fact in found), max(fact.recorded for fact in found) + 20 * DAY
    _, whole = in_order(found, end)
    p = Patient(plan(), "p1")
    receive(p, found)
    changes = []
    for i in range(steps + 1):
        changes += advance(p, start + (end - start) * i // steps)
    assert contents(changes) == contents(whole)
    assert {change.emitted for change in changes} <= {change.emitted for change in whole}


@FEW
@given(HISTORIES)
def test_judging_from_the_start_agrees_with_judging_as_facts_came(which):
    found = facts(which)
    p, _ = in_order(found, max(fact.recorded for fact in found) + 20 * DAY)
    before = episodes(p)
    evaluate(p, p.clock)
    assert episodes(p) == before


@FEW
@given(HISTORIES)
def test_seq_has_no_gaps_and_a_change_changes_something(which):
    found = facts(which)
    _, changes = in_order(found, max(fact.recorded for fact in found) + 20 * DAY)
    last = {}
    for change in sorted(changes):
        alert = change.alert
        before = last.get(alert.alert_id)
        assert alert.seq == (before.seq if before else 0) + 1
        assert (
            before is None
            or alert.state != before.state
            or alert.title != before.title
            or alert.severity != before.severity
        )
        assert (alert.status == "raised") == (before is None or before.state == "retracted")
        last[alert.alert_id] = alert


@FEW
@given(HISTORIES, st.randoms(use_true_random=False))
def test_a_withdrawn_fact_leaves_nothing_behind(which, rng):
    found = facts(which)
    labs = [fact for fact in found if hasattr(fact, "canon") and not fact.void]
    if not labs:
        return
    gone = rng.choice(labs)
    end = max(fact.recorded for fact in found) + 20 * DAY
    withdrawn = type(gone)(gone.event_id, end, gone.at, gone.analyte, gone.loinc, 0, rank=4)
    without = [fact for fact in found if fact.event_id != gone.event_id]
    p, changes = in_order([*found, withdrawn], end)
    q, expected = in_order(without, end)
    assert episodes(p) == episodes(q)
    assert final(changes).keys() == final(expected).keys()


@pytest.mark.parametrize("seed", [*range(6), 50375, 50447, 50663])
def test_a_restart_at_every_instant_changes_nothing(seed):
    found = facts((seed, "mixed"))
    end = max(fact.recorded for fact in found) + 20 * DAY
    _, whole = in_order(found, end)
    rng = random.Random(seed)
    p = Patient(plan(), "p1")
    changes = []
    for recorded in sorted({fact.recorded for fact in found}):
        receive(p, [fact for fact in found if fact.recorded == recorded])
        changes += advance(p, recorded)
        if rng.random() < 0.5:
            p = load(plan(), "p1", dump(p)).patient
    changes += advance(p, end)
    assert contents(changes) == contents(whole)
