"""``replay``: where one-time values are remembered."""
