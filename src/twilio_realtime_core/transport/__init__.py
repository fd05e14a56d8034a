"""WebSocket over byte streams: frames, handshakes, links, and the first HTTP request."""
