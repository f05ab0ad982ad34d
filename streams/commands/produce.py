"""`cmvigil produce`: sends a log into the topics."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from monitor.knowledge import KnowledgeError
from streams.codes import read_codes
from streams.commands.common import FAILED, OK, Unusable, keep_apart, open_rejects, progress_bar, refuse, time_of
from streams.knowledge_files import read_plan
from streams.live.produce import Produced, produce, read_messages
from streams.live.settings import Settings
from streams.live.topics import TopicsError, check, size_limits
from streams.logs import UnusableInput
from streams.rejects import Rejects


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
    unwatched = 0

    def passed(count: int) -> None:
        nonlocal unwatched
        unwatched += count

    try:
        plan = read_plan(list(settings.knowledge))
        codes = read_codes(settings.codes, plan)
        stop = time_of(until, "--until")
        keep_apart(logs, rejects=rejects_path)
        missing = [one for one in check(settings) if "missing" in one]
        if missing:
            raise Unusable("\n".join(missing))  # noqa: TRY301 - refused like other arguments
        with open_rejects(rejects_path) as rejects, TemporaryDirectory(prefix="cmvigil-") as folder:
            limits = size_limits(settings)
            messages = read_messages(plan, logs, codes, rejects, Path(folder), limits=limits, passed=passed)
            with progress_bar("sending", None) as progress:
                done = produce(
                    settings,
                    messages,
                    speed=speed,
                    marker_seconds=marker_seconds,
                    until=stop,
                    limits=limits,
                    progress=progress or (lambda _count: None),
                )
            _count(done, unwatched, rejects)
    except (UnusableInput, Unusable, KnowledgeError, TopicsError) as error:
        return refuse(error)
    return FAILED if done.refused else OK


def _count(done: Produced, unwatched: int, rejects: Rejects) -> None:
    told = [f"{done.events} events, {done.markers} clock markers sent"]
    if unwatched:
        told.append(f"{unwatched} not watched by any rule, and not sent")
    if rejects.count:
        told.append(f"{rejects.count} rejected" + ("" if rejects.kept else " (see --rejects)"))
    print(f"cmvigil: {'; '.join(told)}", file=sys.stderr)
    if done.refused:
        why = ", ".join(f"{count} {kind}" for kind, count in sorted(done.refused.items()))
        print(f"cmvigil: the broker did not take all of them ({why}); repeat", file=sys.stderr)
