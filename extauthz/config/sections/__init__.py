"""The sections of the configuration file: what may be written in each, and what is built from it."""
