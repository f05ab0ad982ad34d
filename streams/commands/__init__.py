"""What each command does, one file a command, apart from how its arguments are read (`streams/cli.py`)."""
