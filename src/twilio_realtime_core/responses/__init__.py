"""The responses of the model: requests for them, their records, function and MCP calls."""
