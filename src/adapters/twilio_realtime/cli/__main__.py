"""`python -m twilio_realtime.cli` is the `twilio-realtime` command."""

from .main import main

main()
