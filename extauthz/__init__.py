"""extauthz: the authentication of a managed API gateway for any Envoy, as an ext_authz gRPC service."""

from importlib.util import find_spec

__version__ = "0.1.0"


def build() -> str:
    """``compiled`` where the path of a check is machine code (see setup.py), ``pure`` where it is Python."""
    path_of_a_check = find_spec("extauthz.decide.pipeline")
    is_python = path_of_a_check is None or (path_of_a_check.origin or "").endswith(".py")
    return "pure" if is_python else "compiled"
