"""What is asked of a dose: the moments at which such a rule speaks, and the two hours that charting may take."""

from monitor.dosing import size_text
from monitor.patient import AtDose, Patient
from monitor.plan import Plan
from monitor.times import NEVER, Time, clock_text
from monitor.types import GONE, Level, Verdict


def last_dose(p: Patient, drug: int, t: Time) -> AtDose | None:
    """The last dose of a course that goes on at `t`; None before the first dose and once the course has ended."""
    at = p.at_dose.get(drug)
    if at is not None and at.t == t:
        # Several rules ask of the same dose.
        return at
    given = p.given.get(drug)
    i = given.last(t) if given is not None else -1
    if given is None or i < 0:
        return None
    state = given.s[i]
    if t > state.course_until:
        return None
    at = p.at_dose[drug] = AtDose(t, given, i, given.x[i], state, given.t[i] == t, state.course_until + 1)
    return at


def carried(at: AtDose, level: Level) -> Level:
    """The level just before: an alert that ends with its course is not carried into a new one."""
    return GONE if at.now and at.state.count == 1 else level


def going_on(at: AtDose, level: Level) -> Verdict:
    """What holds where nothing is judged anew: what was raised in a course stays until that course has ended."""
    held = carried(at, level)
    return (held, at.over) if held > 0 else (GONE, NEVER)


def last_dose_text(p: Patient, at: AtDose) -> str:
    """Which dose of its course it is, when it was given, and its size."""
    return f"Dose {at.state.count} of the course on {clock_text(at.given.t[at.i])}: {size_text(p, at.given, at.i)}"


def waits_for_charting(p: Patient, at: AtDose) -> bool:
    """Whether a dose is too newly recorded to be judged for what should come with it; then it is judged later."""
    ready = at.dose.recorded + p.plan.grace
    if ready <= p.clock:
        return False
    p.judging.waits[at.given.t[at.i]] = ready
    return True


def doses_named(plan: Plan, names: tuple[str, ...]) -> tuple[int, ...]:
    """The inputs that the doses of several drugs are."""
    return tuple(plan.doses(name) for name in names)
