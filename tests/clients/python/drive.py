"""Makes one call with the vendor's Python demo code, as told on standard input, and prints what its caller gets.

The code knows no port but 80 and 443, so the connection is given the right one here. Nothing else is changed.
"""

import http.client
import json
import sys

from com.aliyun.api.gateway.sdk.client import DefaultClient
from com.aliyun.api.gateway.sdk.http.request import Request


def main() -> None:
    told = json.load(sys.stdin)
    connect = http.client.HTTPConnection.__init__

    def with_port(self, host, port=None, timeout=10, **others):  # type: ignore[no-untyped-def]
        connect(self, host, told["port"], 10, **others)

    http.client.HTTPConnection.__init__ = with_port  # type: ignore[assignment]
    request = Request(host="http://127.0.0.1", protocol="http", url=told["target"], method=told["method"])
    if told.get("form") is not None:
        request.set_content_type("application/x-www-form-urlencoded")
        request.set_body(told["form"])
    elif told.get("bytes") is not None:
        request.set_content_type("application/octet-stream")
        request.set_body(bytes(told["bytes"]))
    status, headers, body = DefaultClient(app_key=told["key"], app_secret=told["secret"]).execute(request)
    answer = {"status": status, "headers": {name.lower(): text for name, text in headers}, "body": body}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()
