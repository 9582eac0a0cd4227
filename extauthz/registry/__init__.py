"""The registry: apps, their keys and their grants in a database, changed while the service runs."""
