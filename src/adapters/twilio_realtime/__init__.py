"""What every runtime shares and no event loop owns: the service's answers, TLS, the settings."""
