"""Nouns and rules of the mission. Pure: no I/O, no protobuf, no framework, no clock but the one passed in."""
