"""How Envoy's questions reach the servicer: the contract, each transport, what they share."""
