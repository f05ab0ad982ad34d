"""`cmvigil rules`: what the monitor knows."""

from pathlib import Path

from monitor.knowledge import KnowledgeError
from streams.commands.common import OK, refuse
from streams.knowledge_files import read_plan


def run_rules(*, as_json: bool, check: Path | None, overlays: list[Path]) -> int:
    """`cmvigil rules`."""
    try:
        plan = read_plan([*overlays, *([check] if check is not None else [])])
    except KnowledgeError as error:
        return refuse(error)
    if check is not None:
        print(f"{check}: usable; ruleset {plan.ruleset}")
    return OK
