"""Metrics for Prometheus and traces for OpenTelemetry, made of the notifications of calls."""
