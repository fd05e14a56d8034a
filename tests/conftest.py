import os

from hypothesis import HealthCheck, settings

# Time limits would measure the machine more than the code, most of all while tests run side by
# side. Hypothesis chooses the same, and fixed examples, where CI is set.
settings.register_profile(
    "local", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
if "CI" not in os.environ:
    settings.load_profile("local")

# A service refuses calls while its event loop is late, as it is on a busy machine. Commands inherit
# this.
os.environ.setdefault("TWILIO_REALTIME_MAX_LOOP_LAG", "1m")
