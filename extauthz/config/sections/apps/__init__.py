"""``apps``: who calls, and with which credentials."""
