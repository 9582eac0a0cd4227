"""Rehearsal: the decisions of a log under another configuration, and who would gain or lose access."""
