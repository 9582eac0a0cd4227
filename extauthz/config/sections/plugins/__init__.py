"""``plugins``: one module for each type, and what a JWT plug-in is made of."""
