"""Taking facts in: which version holds, where it stands in the arrays, and from when on verdicts may differ.

Applying a fact twice is applying it once, and the order of arrival never matters.
"""

import json
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Sequence

from monitor.patient import Given, Patient, Series
from monitor.plan import DIALYSIS, HIV, ODD, PERSON, TRANSPLANT, SuspectInfo
from monitor.times import ALWAYS, NEVER, Time, iso
from monitor.types import CANCELLED, EQUAL, WAITING, WITHDRAWN, Act, Day, Dose, Fold, Lab, Pending, Person
from monitor.units import MILLION


def apply(p: Patient, fact: Pending) -> None:
    """Takes one fact in and marks what it may change. Judging is `evaluation.settle`."""
    APPLY[type(fact)](p, fact)


def touch(p: Patient, source: int, at: Time) -> None:
    """Marks the folds that must judge anew because an input changed at a clinical time."""
    listening = p.listen.get(source)
    if listening is None:
        return
    dirty = p.dirty
    for fold in listening[0]:
        known = dirty.setdefault(fold, at)
        if known != at:
            fold.many = True
            if at < known:
                dirty[fold] = at
    for fold in listening[1]:
        if fold.level > 0 or at <= fold.frontier or fold.level <= WAITING:
            known = dirty.setdefault(fold, at)
            if known != at:
                fold.many = True
                if at < known:
                    dirty[fold] = at
    for fold in listening[2]:
        # Behind the frontier it is judged from there on, however many moments are in question.
        if at <= fold.frontier and at < dirty.get(fold, NEVER):
            dirty[fold] = at


def touch_from(p: Patient, source: int, since: Time) -> None:
    """Marks the folds that must judge anew because an input may differ at any time from `since` on."""
    touch(p, source, since)
    for fold in p.listen.get(source, ((),))[0]:
        fold.many = True


def activate(p: Patient, source: int) -> None:
    """Wakes the rules whose needs an input's first appearance completes."""
    if source in p.present:
        return
    p.present.add(source)
    for rule in p.plan.needing.get(source, ()):
        if rule.slot in p.folds or any(map(p.present.isdisjoint, rule.needs)):
            continue
        fold = p.folds[rule.slot] = Fold(rule, rule.rank)
        p.present.add(p.plan.alert_input(rule.slot))
        for kind, sources in enumerate((rule.judged, rule.lazy, rule.quiet)):
            for i in sources:
                p.listen[i][kind].append(fold)
        p.dirty[fold] = ALWAYS
        fold.many = True
        if p.sayings:
            attach(p)


def attach(p: Patient) -> None:
    """Gives what was said before to the rules that said it, as far as they are in force."""
    by_name = {(fold.rule.code, fold.rule.drug, fold.rule.subject): fold for fold in p.folds.values()}
    left = []
    for one in p.sayings:
        fold = by_name.get((one.code, one.drug, one.subject))
        if fold is None:
            left.append(one)
        else:
            fold.said[one.named, one.onset] = one.said
    p.sayings = left


# Versions --------------------------------------------------------------------------------------------------------


_LABELS = (None, "prophylaxis", "treatment", "preemptive", "maintenance")


def _holds(new: Lab | Dose, old: Lab | Dose, p: Patient) -> bool:
    """Whether a fact replaces another of the same identity."""
    if new.recorded != old.recorded:
        return new.recorded > old.recorded
    if new.rank != old.rank:
        return new.rank > old.rank
    return _json(new, p) > _json(old, p)


def _json(fact: Lab | Dose, p: Patient) -> str:
    return _lab_json(fact, p) if isinstance(fact, Lab) else _dose_json(fact, p)


def _canonical(fields: dict[str, object]) -> str:
    kept = {key: value for key, value in fields.items() if value is not None}
    return json.dumps(kept, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _number(value: int) -> float | int:
    whole, part = divmod(value, MILLION)
    return value / MILLION if part else whole


def _lab_json(lab: Lab, p: Patient) -> str:
    units = p.plan.analytes[lab.analyte].unit_names if lab.analyte >= 0 else ()
    return _canonical(
        {
            "code": lab.loinc,
            "collected_at": iso(lab.at) if lab.at != ALWAYS else None,
            "comparator": (None, "<", "<=", ">", ">=", None, None)[lab.mark],
            "result": lab.grade,
            "unit": units[lab.unit] if lab.unit >= 0 else None,
            "value": _number(p.plan.value_of(lab)) if lab.unit >= 0 and lab.grade is None else None,
        }
    )


def _dose_json(dose: Dose, p: Patient) -> str:
    return _canonical(
        {
            "dose": None if dose.value is None else _number(dose.value),
            "drug": p.plan.drugs[dose.drug].name if dose.drug >= 0 else None,
            "ended_at": iso(dose.end) if dose.end > dose.at else None,
            "indication": _LABELS[dose.label],
            "route": dose.route,
            "started_at": iso(dose.at) if dose.at != ALWAYS else None,
            "status": dose.status if dose.status != "completed" else None,
            "unit": p.plan.dose_units[dose.unit][0] if dose.unit >= 0 else None,
        }
    )


# Results ---------------------------------------------------------------------------------------------------------


def _apply_lab(p: Patient, lab: Lab) -> None:
    old = p.lab_facts.get(lab.event_id)
    if old is not None:
        if not _holds(lab, old, p):
            return
        p.lab_facts[lab.event_id] = lab
        if p.packing is not None:
            p.packing.labs.clear()
        p.news.append((lab, old))
        if not old.void:
            _without(p, old)
        if not lab.void:
            _with(p, lab)
        return
    p.lab_facts[lab.event_id] = lab
    if lab.rank == CANCELLED or lab.rank == WITHDRAWN:
        return
    p.news.append((lab, None))
    analyte = lab.analyte
    series = p.series[analyte]
    if series is None:
        series = p.series[analyte] = Series()
        activate(p, analyte)
    times, at = series.t, lab.at
    # What stands at its time already may stand there as implausible alone.
    meets = (times and at <= times[-1]) or (p.lab_groups and (analyte, at) in p.lab_groups)
    if lab.odd or meets or (analyte in p.plan.linked and _is_linked(p, lab)):
        _with(p, lab)
        return
    times.append(at)
    series.v.append(lab.canon)
    series.x.append(lab)
    _changed(p, analyte, at)


def _is_linked(p: Patient, lab: Lab) -> bool:
    """Whether a result may change what another result of its collection time amounts to, or be changed by one."""
    analyte, suspect = lab.analyte, p.plan.suspect
    if suspect is not None and analyte in suspect.voids:
        if p.suspects:
            return True
        if analyte == suspect.potassium:
            return bool(lab.canon > suspect.potassium_above[lab.unit])
        return bool(analyte == suspect.calcium and lab.canon < suspect.calcium_below[lab.unit])
    percent, _ = p.plan.derives[p.plan.derived_from[analyte]]
    return analyte == percent or p.series[percent] is not None


def _changed(p: Patient, analyte: int, at: Time) -> None:
    touch(p, analyte, at)
    if analyte in p.plan.restating:
        if at <= p.baseline_until:
            p.baselines.clear()
        for drug in p.plan.restating[analyte]:
            given = p.given.get(drug)
            if given is not None and given.t and given.t[-1] >= at:
                _restate(p, drug, at)


def _at(p: Patient, analyte: int, at: Time) -> list[Lab]:
    """All results of an analyte with one collection time, those that feed no rule too."""
    group = p.lab_groups.get((analyte, at))
    if group is not None:
        return group
    series = p.series[analyte]
    if series is None:
        return []
    points = series.x[bisect_left(series.t, at) : bisect_right(series.t, at)]
    # A computed count has no code of its own and is no fact.
    return [lab for lab in points if lab.loinc]


def _with(p: Patient, lab: Lab) -> None:
    if p.series[lab.analyte] is None:
        p.series[lab.analyte] = Series()
        activate(p, lab.analyte)
    _put(p, lab.analyte, lab.at, [*_at(p, lab.analyte, lab.at), lab])


def _without(p: Patient, lab: Lab) -> None:
    left = [other for other in _at(p, lab.analyte, lab.at) if other.event_id != lab.event_id]
    _put(p, lab.analyte, lab.at, left)


def _put(p: Patient, analyte: int, at: Time, labs: list[Lab]) -> None:
    """Sets what the results of one analyte and collection time amount to, and what hangs on them."""
    _set_point(p, analyte, at, labs)
    suspect = p.plan.suspect
    if suspect is not None and analyte in (suspect.potassium, suspect.calcium):
        _set_suspect(p, suspect, at)
    link = p.plan.derived_from.get(analyte)
    if link is not None and link != analyte:
        _set_point(p, link, at, _at(p, link, at))


def _set_point(p: Patient, analyte: int, at: Time, labs: list[Lab]) -> None:
    series = p.series[analyte]
    if series is None:
        series = p.series[analyte] = Series()
        activate(p, analyte)
    valid = [lab for lab in labs if not lab.odd]
    suspect = p.plan.suspect
    if suspect is not None and analyte in suspect.voids and at in p.suspects:
        valid = []
        touch(p, ODD, at)
    points = _merged(p, analyte, at, valid)
    if len(labs) == len(points) and all(a is b for a, b in zip(labs, points, strict=True)):
        p.lab_groups.pop((analyte, at), None)
    elif labs:
        p.lab_groups[analyte, at] = labs
    else:
        p.lab_groups.pop((analyte, at), None)
    low, high = bisect_left(series.t, at), bisect_right(series.t, at)
    before = series.x[low:high]
    if before != points:
        series.t[low:high] = [at] * len(points)
        series.v[low:high] = [point.canon for point in points]
        series.x[low:high] = points
        if [(b.canon, b.mark, b.unit) for b in before] != [(b.canon, b.mark, b.unit) for b in points]:
            _changed(p, analyte, at)
    _set_odd(p, analyte, at, [lab for lab in labs if lab.odd])


def _set_odd(p: Patient, analyte: int, at: Time, odd: list[Lab]) -> None:
    known = p.odd.get(analyte)
    if known is None:
        if not odd:
            return
        known = p.odd[analyte] = Series()
    low, high = bisect_left(known.t, at), bisect_right(known.t, at)
    if known.x[low:high] != odd:
        known.t[low:high] = [at] * len(odd)
        known.v[low:high] = [lab.canon for lab in odd]
        known.x[low:high] = odd
        activate(p, p.plan.odd_input(analyte))
        touch(p, p.plan.odd_input(analyte), at)


def _set_suspect(p: Patient, suspect: SuspectInfo, at: Time) -> None:
    is_suspect = any(
        lab.mark == EQUAL and lab.canon > suspect.potassium_above[lab.unit] for lab in _at(p, suspect.potassium, at)
    ) and any(lab.mark == EQUAL and lab.canon < suspect.calcium_below[lab.unit] for lab in _at(p, suspect.calcium, at))
    if is_suspect == (at in p.suspects):
        return
    if is_suspect:
        insort(p.suspects, at)
    else:
        p.suspects.remove(at)
    for analyte in suspect.voids:
        if p.series[analyte] is not None:
            _set_point(p, analyte, at, _at(p, analyte, at))
    activate(p, ODD)
    touch(p, ODD, at)


def _merged(p: Patient, analyte: int, at: Time, labs: list[Lab]) -> list[Lab]:
    """The points that results of one collection time make: one, or for viral loads one of each LOINC and unit.

    Numbers of one sample are averaged (as MIMIC's KDIGO does); of others the newest holds.
    """
    if p.plan.analytes[analyte].qualitative:
        newest = {(lab.loinc, lab.unit): lab for lab in sorted(labs, key=_age)}
        # One without a number has no unit: it replaces what is older in every unit of its LOINC.
        points = [lab for lab in newest.values() if _age(newest.get((lab.loinc, -1), lab)) <= _age(lab)]
        return sorted(points, key=lambda lab: (lab.loinc, lab.unit))
    if not labs:
        derived = _derived(p, analyte, at)
        return [] if derived is None else [derived]
    if len(labs) == 1:
        return labs
    numbers = sorted((lab for lab in labs if lab.mark == EQUAL), key=_age)
    if not numbers:
        return [max(labs, key=_age)]
    return [_mean(numbers)]


def _mean(numbers: list[Lab]) -> Lab:
    """The results of one sample, oldest first, as one: their mean under the name of the newest."""
    newest = numbers[-1]
    if len(numbers) == 1:
        return newest
    canon = sum(lab.canon for lab in numbers) // len(numbers)
    rank = min(lab.rank for lab in numbers)
    return Lab(newest.event_id, newest.recorded, newest.at, newest.analyte, newest.loinc, canon, newest.unit, rank=rank)


def _age(lab: Lab) -> tuple[Time, int, str]:
    return lab.recorded, lab.rank, lab.event_id


def _derived(p: Patient, analyte: int, at: Time) -> Lab | None:
    """A count from a percentage and the count of all cells, of one collection time."""
    derives = p.plan.derives.get(analyte)
    if derives is None:
        return None
    percents, counts = (_numbers(p, i, at) for i in derives)
    if not percents or not counts:
        return None
    percent, count = _mean(percents), _mean(counts)
    canon = percent.canon * count.canon // (100 * MILLION * p.plan.analytes[percent.analyte].scale[0])
    recorded = max(percent.recorded, count.recorded)
    return Lab(percent.event_id, recorded, at, analyte, "", canon, count.unit, rank=min(percent.rank, count.rank))


def _numbers(p: Patient, analyte: int, at: Time) -> list[Lab]:
    return sorted((lab for lab in _at(p, analyte, at) if lab.mark == EQUAL and not lab.odd), key=_age)


# Doses -----------------------------------------------------------------------------------------------------------


def _apply_dose(p: Patient, dose: Dose) -> None:
    old = p.dose_facts.get(dose.event_id)
    if old is not None:
        if not _holds(dose, old, p):
            return
        p.dose_facts[dose.event_id] = dose
        if p.packing is not None:
            p.packing.doses.clear()
        p.news.append((dose, old))
        if old.given and old.systemic:
            left = [other for other in _doses_at(p, old.drug, old.at) if other.event_id != old.event_id]
            _put_doses(p, old.drug, old.at, left)
        elif old.status == "not-done":
            p.not_given[old.drug].remove((old.at, old.event_id))
            touch(p, len(p.plan.analytes) + old.drug, old.at)
    else:
        p.dose_facts[dose.event_id] = dose
        if dose.rank != WITHDRAWN:
            p.news.append((dose, None))
    if dose.given and dose.systemic:
        drug, at = dose.drug, dose.at
        given = p.given.get(drug)
        if given is None:
            given = p.given[drug] = Given()
            activate(p, len(p.plan.analytes) + drug)
        if given.t and at <= given.t[-1]:
            _put_doses(p, drug, at, [*_doses_at(p, drug, at), dose])
            return
        given.t.append(at)
        given.x.append(dose)
        _dose_changed(p, drug, at)
    elif dose.status == "not-done":
        insort(p.not_given.setdefault(dose.drug, []), (dose.at, dose.event_id))
        touch(p, len(p.plan.analytes) + dose.drug, dose.at)


def _dose_changed(p: Patient, drug: int, at: Time) -> None:
    touch(p, len(p.plan.analytes) + drug, at)
    if drug in p.plan.watched:
        _restate(p, drug, at)
        if at <= p.baseline_until:
            p.baselines.clear()


def _restate(p: Patient, drug: int, at: Time) -> None:
    known = p.restate.get(drug)
    if known is None or at < known:
        p.restate[drug] = at


def _doses_at(p: Patient, drug: int, at: Time) -> list[Dose]:
    group = p.dose_groups.get((drug, at))
    if group is not None:
        return group
    given = p.given[drug]
    i = bisect_left(given.t, at)
    return given.x[i : i + 1] if i < len(given.t) and given.t[i] == at else []


def _put_doses(p: Patient, drug: int, at: Time, doses: list[Dose]) -> None:
    """Sets the administrations of one drug with one start: together they are one dose."""
    given = p.given[drug]
    i = bisect_left(given.t, at)
    there = i < len(given.t) and given.t[i] == at
    doses = sorted(doses, key=lambda dose: (dose.recorded, dose.event_id))
    if len(doses) > 1:
        p.dose_groups[drug, at] = doses
    else:
        p.dose_groups.pop((drug, at), None)
    if not doses:
        del given.t[i], given.x[i], given.s[i : i + 1], given.m[i : i + 1]
    elif there:
        given.x[i] = doses[-1]
    else:
        given.t.insert(i, at)
        given.x.insert(i, doses[-1])
    _dose_changed(p, drug, at)


# The person ------------------------------------------------------------------------------------------------------


def _apply_person(p: Patient, person: Person) -> None:
    old = p.people.get(person.event_id)
    if old is not None and (person.recorded, repr(person)) <= (old.recorded, repr(old)):
        return
    p.people[person.event_id] = person
    p.news.append((person, old))
    if person.transplant_at is not None and person.transplant_at > p.clock:
        p.inbox.append(Day(person.transplant_at))
        p.inbox.sort(key=lambda one: -one.recorded)
    _read_people(p)


def _read_people(p: Patient) -> None:
    """What holds of the person now. A transplant that is planned is none before its day."""
    timeless = p.birth, p.sex, p.donor, p.recipient
    changing: tuple[Sequence[tuple[Time, object]], ...] = (p.transplants, p.dialysis, p.hiv)
    people = sorted(p.people.values(), key=lambda one: (one.recorded, one.event_id))
    p.age = (NEVER, ALWAYS, 0)
    p.birth = p.sex = p.donor = p.recipient = None
    p.transplants, p.dialysis, p.hiv = [], [], []
    for one in people:
        p.birth = p.birth if one.birth is None else one.birth
        p.sex = one.sex or p.sex
        p.donor = one.donor or p.donor
        p.recipient = one.recipient or p.recipient
        if one.transplant is not None and (one.transplant_at is None or one.transplant_at <= p.clock):
            p.transplants.append((ALWAYS if one.transplant_at is None else one.transplant_at, one.transplant))
        if one.dialysis is not None:
            p.dialysis.append((one.recorded, one.dialysis))
        if one.hiv is not None:
            p.hiv.append((one.recorded, one.hiv))
    p.transplants.sort(key=lambda entry: entry[0])
    if (p.birth, p.sex, p.donor, p.recipient) != timeless:
        activate(p, PERSON)
        _person_changed(p, PERSON, ALWAYS)
    sources = (TRANSPLANT, DIALYSIS, HIV)
    changed: tuple[Sequence[tuple[Time, object]], ...] = (p.transplants, p.dialysis, p.hiv)
    for source, before, after in zip(sources, changing, changed, strict=True):
        differ = set(before) ^ set(after)
        if differ:
            activate(p, source)
            _person_changed(p, source, min(at for at, _ in differ))


def _person_changed(p: Patient, source: int, at: Time) -> None:
    touch(p, source, at)
    p.baselines.clear()
    for drug, given in p.given.items():
        if drug in p.plan.watched and given.t and given.t[-1] >= at:
            _restate(p, drug, at)


def _apply_act(p: Patient, act: Act) -> None:
    old = p.acts.get(act.event_id)
    if old is None or (act.recorded, repr(act)) > (old.recorded, repr(old)):
        p.acts[act.event_id] = act
        p.acted = True


APPLY: dict[type, Callable[..., None]] = {
    Lab: _apply_lab,
    Dose: _apply_dose,
    Person: _apply_person,
    Act: _apply_act,
    Day: lambda p, _: _read_people(p),
}
