"""The routes of the admin API, one module for each kind of thing. Handlers parse, call one service, and answer."""
