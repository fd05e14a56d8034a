"""From messages to bytes: WebSocket links, handshakes, the first HTTP request."""
