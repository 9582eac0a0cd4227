"""``apis``: what is protected."""
