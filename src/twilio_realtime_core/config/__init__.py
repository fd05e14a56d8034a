"""The application's configuration of a call, its Realtime session, tools and interruptions."""
