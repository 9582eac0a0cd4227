"""Which API a request means: how paths may be spelled, and the table that finds the API."""
