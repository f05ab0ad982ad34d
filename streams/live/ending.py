"""How a process ends that cannot keep its word."""

import os
import traceback
from typing import NoReturn

from streams.live.logs import logger


def die(why: str, error: BaseException | None = None) -> NoReturn:
    """Ends the process at once: what was not acknowledged is taken again by whoever comes next.

    Of an error its kind and place are logged, and nothing that it says, which may be a patient's.
    """
    logger.critical("worker ends", extra={"why": why if error is None else f"{why}: {kind_and_place(error)}"})
    os._exit(1)


def kind_and_place(error: BaseException) -> str:
    """Of an error its kind and place, and nothing that it says, which may be a patient's."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {'/'.join(frames[-1].filename.split('/')[-2:])}:{frames[-1].lineno}" if frames else ""
    return type(error).__name__ + place
