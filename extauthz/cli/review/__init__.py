"""Commands that judge a configuration, a registry or a log, and change nothing."""
