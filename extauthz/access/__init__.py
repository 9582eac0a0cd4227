"""Who may call what: the steps of a check with a proof that is taken as given. Nothing that serves imports this."""
