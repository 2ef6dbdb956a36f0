"""For every test: oracles and engines that are imported directly report to nobody, and Ctrl-C means what it says."""

import os
import signal
from contextlib import suppress

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

# Whoever starts the tests in the background has Ctrl-C ignored, here and in every process that a test starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

with suppress(ModuleNotFoundError):  # the device's tests have none
    from hypothesis import HealthCheck, settings

    # How long one example took says how busy the machine was.
    settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("shared")
