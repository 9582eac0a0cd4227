"""What produces every number that the project publishes: `make bench`, `make bench-quick`."""
