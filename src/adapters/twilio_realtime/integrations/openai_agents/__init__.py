"""Agents of the OpenAI Agents SDK on the phone (`openai-agents` 0.22 to 0.24, asyncio).

    from twilio_realtime.integrations.openai_agents import from_agents_sdk

    agent = from_agents_sdk(RealtimeAgent(name="Shop", instructions="You sell pizza."))

The SDK is at https://openai.github.io/openai-agents-python/ (read 2026-12-01).
"""

from .handler import AgentsSdkAgent, from_agents_sdk
from .model import TwilioRealtimeModel

__all__ = ["AgentsSdkAgent", "TwilioRealtimeModel", "from_agents_sdk"]
