"""The commands that say why: of one check, of a reason, of an app and an API."""
