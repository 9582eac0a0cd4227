"""The admin API: apps, keys and grants over HTTP, in a process of its own beside the registry's database."""
