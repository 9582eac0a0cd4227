"""What the registry is told by files: one that declares it, and the names that the configuration has."""
