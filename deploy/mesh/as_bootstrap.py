"""From what `egctl x translate` prints to a bootstrap for Envoy: routes and endpoints stand in their places.

python deploy/mesh/as_bootstrap.py gateways/internet <translated.json >bootstrap.json
"""

import json
import sys
from typing import Any

Json = dict[str, Any]


def bootstrap(dump: Json, name: str) -> Json:
    """A bootstrap with everything that the dump of a gateway holds."""
    sections = {one["@type"].rpartition(".")[2]: one for one in dump["configs"]}
    routes = {
        one["routeConfig"]["name"]: _plain(one["routeConfig"])
        for one in sections["RoutesConfigDump"].get("dynamicRouteConfigs", [])
    }
    assignments = {
        one["endpointConfig"]["clusterName"]: _plain(one["endpointConfig"])
        for one in sections["EndpointsConfigDump"].get("dynamicEndpointConfigs", [])
    }
    clusters = [_plain(one["cluster"]) for one in sections["ClustersConfigDump"]["dynamicActiveClusters"]]
    for cluster in clusters:
        if cluster.get("type") == "EDS":
            cluster["type"] = "STATIC"
            found = cluster.pop("edsClusterConfig", {}).get("serviceName", cluster["name"])
            cluster["loadAssignment"] = assignments[found]
    listeners = [_plain(one["activeState"]["listener"]) for one in sections["ListenersConfigDump"]["dynamicListeners"]]
    for listener in listeners:
        chains = [*listener.get("filterChains", []), *filter(None, [listener.get("defaultFilterChain")])]
        for config in (one["typedConfig"] for chain in chains for one in chain["filters"]):
            if "rds" in config:
                config["routeConfig"] = routes[config.pop("rds")["routeConfigName"]]
    return {
        "node": {"id": f"eg-{name.rpartition('/')[2]}", "cluster": name},
        "admin": {"address": {"socketAddress": {"address": "127.0.0.1", "portValue": 19000}}},
        "staticResources": {"listeners": listeners, "clusters": clusters},
    }


def _plain(message: Json) -> Json:
    """A message without the type that it bears inside a dump."""
    return {key: value for key, value in message.items() if key != "@type"}


if __name__ == "__main__":
    wanted = sys.argv[1]
    translated = json.load(sys.stdin)["xds"][wanted]
    json.dump(bootstrap(translated, wanted), sys.stdout, indent=1)
    sys.stdout.write("\n")
