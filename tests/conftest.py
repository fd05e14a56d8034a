import os

from hypothesis import settings

# How long an example takes says more about the machine than about the code, most of all while
# tests run side by side. Hypothesis itself chooses so, and fixed examples, where CI is set.
settings.register_profile("here", deadline=None, print_blob=True)
if "CI" not in os.environ:
    settings.load_profile("here")
