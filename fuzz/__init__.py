"""Fuzzing: what strangers can send, against what must hold whatever they send. ``make fuzz``, docs/fuzzing.md."""
