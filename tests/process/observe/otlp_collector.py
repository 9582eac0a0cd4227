"""A collector that takes OTLP over HTTP on loopback and keeps what it was sent."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Collector(ThreadingHTTPServer):
    """What takes OTLP over HTTP; ``delay_s`` makes it a slow one."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Taking)
        self.requests, self.headers, self.delay_s = [], [], 0.0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.server_port}/v1/traces"

    @property
    def spans(self):
        return [
            span for sent in self.requests for resource in sent.resource_spans
            for scope in resource.scope_spans for span in scope.spans
        ]  # fmt: skip


class Taking(BaseHTTPRequestHandler):
    server: "Collector"

    def do_POST(self):
        body = self._body()
        self.server.headers.append({name.lower(): value for name, value in self.headers.items()})
        self.server.requests.append(ExportTraceServiceRequest.FromString(body))
        time.sleep(self.server.delay_s)
        self.send_response(200)
        self.end_headers()

    def _body(self):
        if self.headers["transfer-encoding"] != "chunked":
            return self.rfile.read(int(self.headers["content-length"]))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def log_message(self, *_):
        pass


def attributes_of(span):
    return {entry.key: getattr(entry.value, entry.value.WhichOneof("value")) for entry in span.attributes}
