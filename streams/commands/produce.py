"""`cmvigil produce`: sends a log into the topics."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from monitor.knowledge import KnowledgeError
from streams.codes import read_codes
from streams.commands.common import FAILED, OK, Unusable, open_rejects, progress_bar, refuse, time_of
from streams.knowledge_files import read_plan
from streams.live.produce import produce, read_messages
from streams.live.settings import Settings
from streams.live.topics import TopicsError, check
from streams.logs import UnusableInput


def run_produce(
    settings: Settings,
    logs: list[str],
    *,
    speed: float | None,
    until: str | None,
    marker_seconds: int,
    rejects_path: Path | None,
) -> int:
    """`cmvigil produce`."""
    try:
        plan = read_plan(list(settings.knowledge))
        codes = read_codes(settings.codes, plan)
        stop = time_of(until, "--until")
        missing = [one for one in check(settings) if "missing" in one]
        if missing:
            raise Unusable("\n".join(missing))  # noqa: TRY301 - refused like other arguments
        with open_rejects(rejects_path) as rejects, TemporaryDirectory(prefix="cmvigil-") as folder:
            messages = read_messages(plan, logs, codes, rejects, Path(folder))
            with progress_bar("sending", None) as progress:
                done = produce(
                    settings,
                    messages,
                    speed=speed,
                    marker_seconds=marker_seconds,
                    until=stop,
                    progress=progress or (lambda _count: None),
                )
            print(f"cmvigil: {done.events} events, {done.markers} clock markers sent", file=sys.stderr)
            if rejects.count:
                print(f"cmvigil: {rejects.count} inputs could not be read", file=sys.stderr)
            if done.failed:
                print(f"cmvigil: {done.failed} messages were not taken by the broker; repeat", file=sys.stderr)
    except (UnusableInput, Unusable, KnowledgeError, TopicsError) as error:
        return refuse(error)
    return FAILED if done.failed else OK
