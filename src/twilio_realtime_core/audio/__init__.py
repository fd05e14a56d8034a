"""G.711 µ-law audio: encoding, payloads, DTMF tones."""
