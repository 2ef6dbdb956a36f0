"""For every test: oracles and engines that are imported directly report to nobody."""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
