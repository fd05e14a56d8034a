"""`python -m twilio_realtime_cli` is the `twilio-realtime` command."""

from .main import main

main()
