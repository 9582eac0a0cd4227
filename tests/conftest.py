"""Says which transport the tests run on where they do not name one."""

from tests.transports import BUILT


def pytest_report_header() -> str:
    if BUILT:
        return "transport: front, and grpcio where a test names it"
    return "transport: grpcio; extauthz-front is not built (make front), and tests of it are skipped"
