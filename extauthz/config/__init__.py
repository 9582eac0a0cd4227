"""YAML to validated model to snapshot. Mistakes are collected and reported together, each with file, line and cure."""

from extauthz.config.build import ServiceConfig, load
from extauthz.config.problems import ConfigError, Problem

__all__ = ["ConfigError", "Problem", "ServiceConfig", "load"]
