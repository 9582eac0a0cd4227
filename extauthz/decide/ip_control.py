"""Steps ``address`` and ``app_address``: IP control, before a proof where no app is asked for, else after it."""

from extauthz.decide.client_address import client_address
from extauthz.decide.progress import Progress
from extauthz.domain import reason
from extauthz.domain.decision import Refusal
from extauthz.domain.ip import IpControl


def address_admitted(check: Progress) -> Refusal | None:
    """Whether a plug-in that knows no apps admits the address: before anybody has proved who calls."""
    control = check.api.ip_control
    return None if control is None or control.asks_for_app else _refusal(control, check)


def app_address_admitted(check: Progress) -> Refusal | None:
    """Whether a plug-in that tells apps apart admits the address for this one, or for nobody in particular."""
    control = check.api.ip_control
    return None if control is None or not control.asks_for_app else _refusal(control, check)


def _refusal(control: IpControl, check: Progress) -> Refusal | None:
    address = client_address(check.request, check.snapshot.gateway.settings)
    app = check.app
    if control.admits(address, app.id if app else None):
        return None
    return Refusal(reason.IP_REFUSED, detail=f"address {address!r}, plug-in {control.id!r}")
