"""How a file becomes material: Envoy's bootstraps and dumps, Istio's and Envoy Gateway's resources."""
