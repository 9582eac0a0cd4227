"""Denied checks that are kept for a while, sealed, because an operator asked for it."""
