"""Random histories as facts, and what a patient's alerts amount to: for tests of state that must change nothing."""

import json
from functools import cache

import msgspec

from monitor.events import Gate, decoder
from monitor.patient import Patient
from streams.knowledge_files import read_plan
from tests.differential.histories import history

DAY = 86_400_000_000


@cache
def plan():
    return read_plan([])


def facts_of(events, knowledge=None):
    gate = Gate(knowledge or plan())
    found = [gate.admit(decoder.decode(json.dumps(event))) for event in events]
    return sorted((fact for fact in found if fact is not None), key=lambda fact: fact.recorded)


def random_facts(seed):
    return facts_of(history(seed))


def moved(facts, days):
    """Later copies of facts, with ids of their own; what is timeless is left out."""
    found = []
    for fact in facts:
        if not hasattr(fact, "at"):
            continue
        shift = {"recorded": fact.recorded + days * DAY, "event_id": f"{fact.event_id}+{days}"}
        for name in ("at", "end"):
            if hasattr(fact, name):
                shift[name] = getattr(fact, name) + days * DAY
        found.append(msgspec.structs.replace(fact, **shift))
    return found


def episodes(p: Patient):
    return {
        (fold.rule.code, fold.rule.drug, fold.rule.subject): [
            (one.onset, one.drug, one.steps, one.end) for one in fold.episodes
        ]
        for fold in p.folds.values()
        if fold.episodes
    }


def said(changes):
    """Everything of a list of changes but its texts, in order."""
    return sorted(
        (
            change.emitted,
            change.alert.alert_id,
            change.seq,
            change.alert.status,
            change.alert.state,
            change.alert.severity,
        )
        for change in changes
    )
