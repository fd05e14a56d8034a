"""The codecs of both protocols: Twilio Media Streams and the OpenAI Realtime API."""
