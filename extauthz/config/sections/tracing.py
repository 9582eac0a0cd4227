"""``tracing``: where the spans of checks go."""

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints

from extauthz.config.names import HeaderName, Section, Share, written
from extauthz.config.problems import Report, Warn, Warned
from extauthz.config.secrets import Secret, SecretUnresolved, resolve
from extauthz.domain.address import is_local_host


class Tracing(Section):
    """One OpenTelemetry span a check; needs the extra `tracing`.

    ```yaml
    endpoint: http://localhost:4318/v1/traces
    headers: {x-api-key: {file: collector-key}}
    service_name: extauthz
    sample_without_parent: 0.01
    ```
    """

    endpoint: Annotated[
        str, *written(r"https?://[^@\s/?#]+([/?][^@\s#]*)?", "an http:// or https:// URL without user and fragment")
    ] = Field(description="where an OTLP/HTTP collector takes traces, such as http://localhost:4318/v1/traces")
    headers: dict[HeaderName, Secret] = Field(default_factory=dict, description="sent to the collector, such as a key")
    service_name: Annotated[str, StringConstraints(min_length=1, max_length=255)] = Field(
        "extauthz", description="`service.name` of the spans"
    )
    sample_without_parent: Share = Field(
        0.0, description="share of the checks traced that come without Envoy's traceparent; else its flag decides"
    )


def check_tracing(section: Tracing, base: Path, report: Report) -> None:
    """Report what is wrong with `tracing`. ``base`` is the folder of the configuration file."""
    for name, value in section.headers.items():
        try:
            resolve(value, base)
        except SecretUnresolved as error:
            report(("tracing", "headers", name), str(error))


def warn_of_tracing(section: Tracing, warn: Warn) -> None:
    """Warn of spans that leave this machine in plain text, and of an endpoint that is not yet one."""
    path = ("tracing", "endpoint")
    url = urlsplit(section.endpoint)
    if url.scheme == "http" and not (url.hostname is not None and is_local_host(url.hostname)):
        message = "sends traces, and the keys under `headers`, to another machine in plain text; write https://"
        warn(Warned.TRACES_IN_PLAIN_TEXT, path, message)
    if url.path in ("", "/"):
        message = "has no path, and traces are sent to it as it stands; collectors take them at /v1/traces"
        warn(Warned.TRACES_WITHOUT_PATH, path, message)
