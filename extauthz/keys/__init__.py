"""Key sets of identity providers, fetched in the background."""
