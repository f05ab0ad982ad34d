"""The live monitor: the same core in Faust stream processors on Apache Kafka."""
