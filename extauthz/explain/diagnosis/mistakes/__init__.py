"""The known mistakes of signing clients, a module for each part of the signature."""
