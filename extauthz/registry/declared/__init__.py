"""What a file declares of the registry, made true in one transaction; and the registry written as such a file."""
