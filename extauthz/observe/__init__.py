"""What is told of a check: the decision log, metrics, tracing."""
