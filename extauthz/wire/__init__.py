"""The only place that knows Envoy: CheckRequest to domain request, decision to CheckResponse, and the servicer."""
