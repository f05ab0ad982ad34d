"""`cmvigil expect`: how often each alert is to be expected, from a site's own history."""

import re
import sys
from pathlib import Path

from monitor.knowledge import KnowledgeError
from streams.codes import read_codes
from streams.commands.common import OK, Unusable, reader_left, refuse
from streams.commands.evaluate import count_rejects, print_json
from streams.expectation import as_rules, expectation
from streams.knowledge_files import read_plan
from streams.logs import UnusableInput
from streams.rejects import Rejects
from streams.replay import read_log


def run_expect(*, logs: list[str], job: str, as_json: bool, overlays: list[Path], codes_path: Path | None) -> int:
    """Writes Prometheus rules, or the same as JSON, to standard output."""
    try:
        if not re.fullmatch(r"[A-Za-z0-9._-]+", job):
            raise Unusable("--job: letters, digits, dots and dashes")  # noqa: TRY301 - refused like other arguments
        plan = read_plan(overlays)
        rejects = Rejects(None)
        log = read_log(plan, logs, rejects, codes=read_codes(codes_path, plan))
        found = expectation(plan, log)
        if not found.patient_days:
            raise Unusable("logs: no patient for whom a rule is in force, so there is nothing to expect")  # noqa: TRY301
        if as_json:
            print_json(found)
        else:
            sys.stdout.write(as_rules(found, job))
            sys.stdout.flush()
        count_rejects(rejects)
    except (UnusableInput, Unusable, KnowledgeError) as error:
        return refuse(error)
    except BrokenPipeError:
        reader_left()
    return OK
