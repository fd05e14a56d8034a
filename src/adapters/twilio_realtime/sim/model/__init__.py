"""The simulated OpenAI Realtime server: sessions, turns, responses, conversation."""
