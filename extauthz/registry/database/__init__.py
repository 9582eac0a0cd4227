"""The database of the registry: its tables, transactions, migrations, and how secrets rest in it."""
