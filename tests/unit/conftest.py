"""How hypothesis runs here: the same examples every time, so that a red build is a red build for everyone."""

import os

from hypothesis import HealthCheck, settings

# The machine that runs the suite is shared and slow at times; a deadline would only measure its neighbours.
settings.register_profile("ci", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("explore", deadline=None, max_examples=5_000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
