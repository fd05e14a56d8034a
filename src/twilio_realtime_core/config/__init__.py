"""What an application configures: the call, its Realtime session, tools and interruptions."""
