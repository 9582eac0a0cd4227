"""The last uses of the registry's credentials in one process: an entry set at a check, handed on now and then."""

import time
from collections.abc import Callable
from typing import Final

from extauthz.domain.decision import Allow
from extauthz.registry.replica.folder import ReplicaFolder, Use
from extauthz.wire.checked import Checked

MAX_NOTED: Final = 10_000
"""Credentials; a note that does not fit is made at their next use after the others were handed on."""
HAND_ON_S: Final = 60.0
"""How often they are handed on, in seconds."""


class LastUses:
    """Notes which credential proved an app, when, and by which network."""

    def __init__(self, is_in_file: Callable[[str], bool], hand_on_s: float = HAND_ON_S) -> None:
        """``is_in_file``: whether an app of this id stands in the configuration file; nobody asks for its uses."""
        self._is_in_file = is_in_file
        self._hand_on_s = hand_on_s
        self._handed_on_s = time.monotonic()
        self._noted: dict[tuple[str, str], tuple[str, float]] = {}

    def record(self, checked: Checked) -> None:
        """Note an allow. Takes a look-up or two."""
        decision = checked.decision
        if not isinstance(decision, Allow) or not decision.credential or not checked.app:
            return
        if self._is_in_file(checked.app):
            return
        key = (decision.credential, checked.network.value)
        if key in self._noted or len(self._noted) < MAX_NOTED:
            self._noted[key] = (checked.app, checked.at_s)

    def are_due(self) -> bool:
        """Whether it is time to hand on."""
        return bool(self._noted) and time.monotonic() - self._handed_on_s > self._hand_on_s

    def hand_on(self, folder: ReplicaFolder) -> None:
        """Leave what was noted to the replicator; keep it where the last hand-over still waits. Writes a file."""
        self._handed_on_s = time.monotonic()
        noted = self._noted.copy()  # in one step, while checks go on
        uses: dict[str, Use] = {}
        for (credential, network), (app_id, used_s) in noted.items():
            before = uses.get(credential)
            networks = [network] if before is None else [*before.networks, network]
            used_ms = max(int(used_s * 1000), 0 if before is None else before.used_ms)
            uses[credential] = Use(app_id, used_ms, networks)
        if uses and folder.leave_uses(uses):
            for key, value in noted.items():
                if self._noted.get(key) == value:
                    del self._noted[key]
