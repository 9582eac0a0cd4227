"""The demo: a real Envoy, the service and a backend on loopback, and calls that show what each of them does."""
