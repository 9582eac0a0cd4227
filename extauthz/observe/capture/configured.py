"""The capture that a configuration has room for."""

from collections.abc import Callable

from extauthz.config import ServiceConfig
from extauthz.config.sections.capture import capture_key
from extauthz.observe.capture.folder import CaptureFolder
from extauthz.observe.capture.recorder import Capture, Capturing, NoCapture


def capture_folder(config: ServiceConfig) -> CaptureFolder | None:
    """The folder of captured checks, where the configuration names one."""
    section = config.file.capture
    if section is None:
        return None
    base = config.path.absolute().parent
    return CaptureFolder(base / section.folder, capture_key(section, base))


def open_capture(config: ServiceConfig, now_ms: Callable[[], int]) -> Capture:
    """What keeps checks in one serving process. ``now_ms`` gives the time in milliseconds since 1970."""
    folder = capture_folder(config)
    return NoCapture() if folder is None else Capturing(folder, now_ms)
