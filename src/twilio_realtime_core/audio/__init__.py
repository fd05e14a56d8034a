"""G.711 µ-law audio (PCMU): samples, payloads, DTMF tones."""
