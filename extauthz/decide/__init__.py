"""The way of one check: which API, which network, who, may they, and what goes upstream."""
