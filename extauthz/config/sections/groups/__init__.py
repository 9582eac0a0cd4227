"""``groups``: APIs that share domains."""
