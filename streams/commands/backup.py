"""`cmvigil backup` and `cmvigil restore`: the state of all patients as a file, and back."""

from pathlib import Path

from streams.commands.common import OK, refuse
from streams.live.backup import BackupError, backup, restore
from streams.live.settings import Settings
from streams.live.topics import TopicsError


def run_backup(settings: Settings, path: Path) -> int:
    """Writes the file and says what is in it."""
    try:
        for name, count in backup(settings, path).items():
            print(f"{name}: {count} records")
    except (BackupError, TopicsError) as error:
        return refuse(error)
    return OK


def run_restore(settings: Settings, path: Path) -> int:
    """Writes the topics and says what it did, and from where workers will read on."""
    try:
        done = restore(settings, path)
    except (BackupError, TopicsError) as error:
        return refuse(error)
    for name, count in done.written.items():
        print(f"{name}: {count} records written")
    for name in done.left:
        print(f"{name}: holds records, and is left as it is")
    for name in done.from_start:
        print(f"{name}: is another topic than that of the backup, and will be read from its start")
    return OK
