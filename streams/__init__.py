"""Everything that moves events: logs and their formats, replay, Kafka, the command line."""
