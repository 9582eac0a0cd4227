"""The keys under which Envoy's configuration tells us something: ``context_extensions`` of listeners, hosts and routes.

Written by the operator, never by a client. Each stands here once, for who reads it in a check and for the doctor.
"""

from typing import Final

API_KEY: Final = "extauthz.api"
"""The id of the API that a route serves."""
STAGE_KEY: Final = "extauthz.stage"
"""The one stage that a route serves: RELEASE, PRE or TEST."""
NETWORK_KEY: Final = "extauthz.network"
"""The network that a listener or virtual host faces: internet or vpc."""
VPC_ID_KEY: Final = "extauthz.vpc_id"
"""The VPC from which a listener's calls come, compared with an API's list."""
SCHEME_KEY: Final = "extauthz.scheme"
"""What a listener speaks: http or https."""
BODY_KEY: Final = "extauthz.body"
"""``unbuffered``: Envoy does not show us the bodies of this route."""
