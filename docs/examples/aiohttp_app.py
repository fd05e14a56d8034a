"""An aiohttp application that answers phone calls too."""

from aiohttp import web

from twilio_realtime import Agent
from twilio_realtime.hosts import aiohttp_routes, drain

agent = Agent("You answer for a pizza shop. Be brief.", greeting="Greet the caller.")


async def end_calls(app: web.Application) -> None:
    await drain(agent)


app = web.Application()
app.add_routes(aiohttp_routes(agent))
app.on_shutdown.append(end_calls)
