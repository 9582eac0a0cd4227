"""The catalogue of reasons at length: causes, how to see it, cure and example, for a page each."""
