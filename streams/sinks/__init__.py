"""Where alerts go: webhooks, Alertmanager, FHIR, and who is told when nobody answers."""
