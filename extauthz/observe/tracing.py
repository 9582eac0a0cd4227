"""Tracing: one OpenTelemetry span a check, child of the span that Envoy sends along.

Imported only where the configuration has a `tracing` section, for it needs the extra of that name. Envoy's sampled
flag decides; what it does not sample pays for the look at its metadata, no more. A span tells what Envoy was told: its
facts are read off the answer, so that no part of the decision knows of tracing.
"""

import logging
import time
from collections.abc import Awaitable
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
from extauthz.config.schema import Tracing as Section
from extauthz.config.secrets import resolve
from extauthz.domain.reason import CATALOGUE, Reason
from extauthz.domain.request import Network
from extauthz.transport.contract import Metadata
from extauthz.wire.generated import ext_authz_pb2 as pb
from extauthz.wire.servicer import SERVICE, Servicer, describe

SPAN: Final = "ext_authz check"
_EXPORT_TIMEOUT_S: Final = 2.0
_FLAGS: Final = slice(53, 55)
"""Of a traceparent: version 2, trace id 32, span id 16 and flags 2 hexadecimal digits (W3C Trace Context, 3.2)."""
_ERROR_CODE: Final = "X-Ca-Error-Code"
_Carrier = dict[str, str | bytes]
_log: Final = logging.getLogger("extauthz")


class Tracing:
    """Asks the servicer and makes a span of its answer, for checks that are to be traced."""

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

    def check(self, payload: bytes, binding: Network | None, metadata: Metadata) -> bytes | Awaitable[bytes]:
        """As ``Servicer.check``; ``metadata`` is what came with the call."""
        carrier = self._wanted(metadata)
        if carrier is None:
            return self._servicer.check(payload, binding)
        started_ns = time.time_ns()
        answer = self._servicer.check(payload, binding)
        if isinstance(answer, bytes):
            self._tell(carrier, started_ns, answer)
            return answer
        return self._check_later(carrier, started_ns, answer)

    def refuse(self, why: Reason, metadata: Metadata) -> bytes:
        """As ``Servicer.refuse``: what a transport does not take on is traced like what was decided."""
        carrier = self._wanted(metadata)
        started_ns = time.time_ns()
        answer = self._servicer.refuse(why)
        if carrier is not None:
            self._tell(carrier, started_ns, answer)
        return answer

    def close(self) -> None:
        """Send what waits. Blocks for a few seconds at most."""
        self._provider.shutdown()

    def _wanted(self, metadata: Metadata) -> _Carrier | None:
        """What names the parent, or None for what is not to be traced."""
        carrier = {key: value for key, value in metadata if key in ("traceparent", "tracestate")}
        parent = carrier.get("traceparent")
        wanted = self._without_parent if parent is None else is_sampled(parent)
        return carrier if wanted else None

    async def _check_later(self, carrier: _Carrier, started_ns: int, answer: Awaitable[bytes]) -> bytes:
        told = await answer
        self._tell(carrier, started_ns, told)
        return told

    def _tell(self, carrier: _Carrier, started_ns: int, answer: bytes) -> None:
        ended_ns = time.time_ns()
        try:
            context = self._propagator.extract(carrier)
            attributes, failed = describe_answer(answer)
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


def describe_answer(answer: bytes) -> tuple[dict[str, str | int | bool], bool]:
    """The attributes of a serialized CheckResponse, and whether it is a failure, as opposed to a decision.

    Nothing that a client chose: the message of a denial, which may quote the request, is left out.
    """
    response = pb.CheckResponse.FromString(answer)
    facts = {name: value.string_value for name, value in response.dynamic_metadata.fields.items()}
    attributes: dict[str, str | int | bool] = {f"extauthz.{name}": text for name, text in facts.items() if text}
    attributes |= {"rpc.system": "grpc", "rpc.service": SERVICE, "rpc.method": "Check"}
    cause = CATALOGUE.get(facts.get("reason", ""))
    if cause is None:
        return attributes, False
    denied = response.denied_response
    codes = [option.header.value for option in denied.headers if option.header.key == _ERROR_CODE]
    attributes |= {
        "http.response.status_code": int(denied.status.code),
        "extauthz.error_code": codes[0] if codes else "",
        "extauthz.failure": cause.failure,
        "extauthz.advice": cause.advice,
    }
    return attributes, cause.failure
