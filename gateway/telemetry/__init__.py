"""What is told about each call: one span tree, one set of metrics, one log line. Never prompts, never keys."""
