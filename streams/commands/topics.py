"""`cmvigil topics`: makes the topics that are missing, and says of each that is wrong what to do."""

import sys

from streams.commands.common import OK, UNUSABLE, refuse
from streams.live.settings import Settings
from streams.live.topics import TopicsError, check, create, layout


def run_topics(settings: Settings, *, only_check: bool) -> int:
    """0 where every topic is as it is to be, else 2."""
    try:
        made = [] if only_check else create(settings)
        wrong = check(settings)
    except TopicsError as error:
        return refuse(error)
    for name in made:
        print(f"made {name}")
    for one in wrong:
        print(f"cmvigil: {one}", file=sys.stderr)
    if not wrong:
        print(f"{len(layout(settings))} topics are right")
    return UNUSABLE if wrong else OK
