"""The simulated phone: a caller, the audio queue at Twilio, Media Streams messages."""
