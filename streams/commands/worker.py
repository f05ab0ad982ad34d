"""`cmvigil worker`: the live monitor."""

import sys

from monitor.knowledge import KnowledgeError
from streams.codes import read_codes
from streams.commands.common import Unusable, refuse
from streams.knowledge_files import read_plan
from streams.live.settings import Settings, SettingsError
from streams.live.topics import TopicsError, check
from streams.logs import UnusableInput

WRONG_LAYOUT = 2


def run(settings: Settings) -> int:
    """Checks the topics, then watches until it is told to stop."""
    try:
        plan = read_plan(list(settings.knowledge))
        codes = read_codes(settings.codes, plan)
        settings.http_token()
        wrong = check(settings)
    except (UnusableInput, Unusable, KnowledgeError, SettingsError, TopicsError) as error:
        return refuse(error)
    if wrong:
        print("\n".join(f"cmvigil: {one}" for one in wrong), file=sys.stderr)
        return WRONG_LAYOUT
    # Faust takes a second to import: only where it is run.
    from streams.live.run import run_worker  # noqa: PLC0415

    return run_worker(settings, plan, codes)
