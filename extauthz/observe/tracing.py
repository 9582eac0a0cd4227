"""Tracing: one OpenTelemetry span a check, child of the span that Envoy sends along.

Imported only where the configuration has a `tracing` section, for it needs the extra of that name. Envoy's sampled
flag decides; what it does not sample pays for the look at its metadata, no more. It wraps the servicer, and makes a
span of the record of a check.
"""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import extauthz
from extauthz.config.secrets import resolve
from extauthz.config.sections.tracing import Tracing as Section
from extauthz.domain.decision import Allow
from extauthz.domain.reason import Reason
from extauthz.domain.request import Network
from extauthz.later import Later
from extauthz.wire.checked import Checked
from extauthz.wire.error_text import answer_of
from extauthz.wire.failure import describe
from extauthz.wire.servicer import SERVICE, Metadata, Servicer

SPAN: Final = "ext_authz check"
_EXPORT_TIMEOUT_S: Final = 2.0
_FLAGS: Final = slice(53, 55)
"""Of a traceparent: version 2, trace id 32, span id 16 and flags 2 hexadecimal digits (W3C Trace Context, 3.2)."""
_Carrier = dict[str, str | bytes]
_log: Final = logging.getLogger("extauthz")


class Tracing:
    """Asks the servicer and makes a span of what it records, for checks that are to be traced."""

    metadata_names: tuple[str, ...] = ("traceparent", "tracestate")

    def __init__(self, section: Section, servicer: Servicer, base: Path) -> None:
        """``base`` is the folder of the configuration file."""
        self._servicer = servicer
        self._without_parent = section.sample_without_parent > 0
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": section.service_name, "service.version": extauthz.__version__}),
            sampler=ParentBased(TraceIdRatioBased(section.sample_without_parent)),
            shutdown_on_exit=False,
        )
        exporter = OTLPSpanExporter(
            endpoint=section.endpoint,
            headers={name: resolve(value, base) for name, value in section.headers.items()},
            timeout=_EXPORT_TIMEOUT_S,
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("extauthz", extauthz.__version__)
        self._propagator = TraceContextTextMapPropagator()
        self._told = False

    def check(self, payload: bytes, binding: Network | None = None, metadata: Metadata = ()) -> bytes | Later[bytes]:
        """See ``Checks.check``."""
        return self._servicer.check(payload, binding, told=self._teller(metadata))

    def refuse(self, cause: Reason, binding: Network | None = None, metadata: Metadata = ()) -> bytes:
        """See ``Checks.refuse``: what a transport does not take on is traced like what was decided."""
        return self._servicer.refuse(cause, binding, told=self._teller(metadata))

    def close(self) -> None:
        """Send what waits. Blocks for a few seconds at most."""
        self._provider.shutdown()

    def _teller(self, metadata: Metadata) -> Callable[[Checked], None] | None:
        """What makes a span of a check, or None for one that is not to be traced."""
        carrier = {key: value for key, value in metadata if key in self.metadata_names}
        parent = carrier.get("traceparent")
        wanted = self._without_parent if parent is None else is_sampled(parent)
        if not wanted:
            return None
        started_ns = time.time_ns()
        return lambda checked: self._tell(carrier, started_ns, checked)

    def _tell(self, carrier: _Carrier, started_ns: int, checked: Checked) -> None:
        ended_ns = time.time_ns()
        try:
            context = self._propagator.extract(carrier)
            attributes, failed = describe_check(checked)
            span = self._tracer.start_span(SPAN, context, SpanKind.SERVER, attributes, start_time=started_ns)
            if failed:
                span.set_status(StatusCode.ERROR)
            span.end(ended_ns)
        except Exception as error:  # no trace is worth a check
            if not self._told:
                _log.error("a check could not be traced, and others may not be: %s", describe(error))
            self._told = True


def is_sampled(traceparent: str | bytes) -> bool:
    """Whether whoever sent it wants it traced; False for what is no traceparent."""
    try:
        return bool(int(traceparent[_FLAGS], 16) & 1)
    except ValueError:
        return False


def describe_check(checked: Checked) -> tuple[dict[str, str | int | bool], bool]:
    """The attributes of a check, and whether it is a failure, as opposed to a decision.

    Nothing that a client chose: the message of a denial, which may quote the request, is left out.
    """
    facts = {
        "decision_id": checked.id,
        "decision": checked.outcome,
        "reason": checked.label,
        "network": checked.network.value,
        "api": checked.api,
        "stage": checked.stage,
        "method": checked.method,
        "app_id": checked.app,
        "revision": checked.revision,
    }
    attributes: dict[str, str | int | bool] = {f"extauthz.{name}": text for name, text in facts.items() if text}
    attributes |= {"rpc.system": "grpc", "rpc.service": SERVICE, "rpc.method": "Check"}
    if isinstance(checked.decision, Allow):
        return attributes, False
    cause = checked.decision.reason
    answer = answer_of(cause, "", checked.snapshot.gateway.settings.errors)
    attributes |= {
        "http.response.status_code": answer.status,
        "extauthz.error_code": answer.code,
        "extauthz.failure": cause.failure,
        "extauthz.advice": cause.advice,
    }
    return attributes, cause.failure
