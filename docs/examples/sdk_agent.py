"""An agent of the OpenAI Agents SDK: `twilio-realtime serve sdk_agent.py`."""

from agents import function_tool
from agents.realtime import RealtimeAgent

from twilio_realtime.integrations.openai_agents import from_agents_sdk


@function_tool
def opening_hours(day: str) -> str:
    """Say when the shop is open on a day of the week."""
    return "closed" if day == "Sunday" else "9 to 5"


baker = RealtimeAgent(name="Baker", instructions="You say how pizza is baked.")
shop = RealtimeAgent(
    name="Shop", instructions="You sell pizza.", tools=[opening_hours], handoffs=[baker]
)
agent = from_agents_sdk(shop, greeting="Greet the caller.")
