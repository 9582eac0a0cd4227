"""One-time values: nonces and jtis that may pass once."""
