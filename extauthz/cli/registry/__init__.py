"""The commands over the registry: apps, keys, AppCodes, APIs, grants, requests and the audit trail."""
