"""Tokens: keys that verify them, where keys come from, and what a JWT plug-in asks of them."""
