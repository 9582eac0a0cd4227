"""The lint: what a sound configuration, and the registry behind it, leave open, unused or forgotten."""
