"""What holds the promise of tests/unit: whoever opens a port or starts a process there is refused."""

import sys

FORBIDDEN = {
    "socket.bind", "socket.connect", "socket.getaddrinfo", "socket.gethostbyname",
    "subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "os.system",
}  # fmt: skip
"""Audit events of the interpreter that no test below this folder may cause. A pair of sockets is no port."""


class Watch:
    """Refuses what is forbidden while a test of this folder runs; an audit hook cannot be taken away again."""

    def __init__(self) -> None:
        self.on = False
        self.seen: list[str] = []

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.on and event in FORBIDDEN:
            self.seen.append(f"{event}{arguments}")
            raise RuntimeError(f"{event} in tests/unit: what needs a process, a port or a network goes elsewhere")


watch = Watch()
sys.addaudithook(watch)
