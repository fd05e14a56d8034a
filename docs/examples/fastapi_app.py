"""A FastAPI application that answers phone calls too."""

from fastapi import FastAPI

from twilio_realtime import Agent
from twilio_realtime.hosts import asgi_app

agent = Agent("You answer for a pizza shop. Be brief.", greeting="Greet the caller.")
app = FastAPI()
app.mount("/voice", asgi_app(agent))
