"""What counts as the client's address."""

from typing import Literal

from pydantic import Field

from extauthz.config.names import Section


class ClientAddress(Section):
    """What counts as the client's address.

    ```yaml
    source: x-envoy-external-address
    ```
    """

    source: Literal["peer", "x-envoy-external-address"] = Field(
        "peer", description="the header is sound only where Envoy's listener sets use_remote_address: true"
    )
