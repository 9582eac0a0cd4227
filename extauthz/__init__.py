"""extauthz: the authentication of a managed API gateway for any Envoy, as an ext_authz gRPC service."""

__version__ = "0.1.0"
