"""Why a check ended as it did, and what is wrong with a signature. Never on the path of a check."""
