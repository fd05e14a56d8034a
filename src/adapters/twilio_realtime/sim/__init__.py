"""A simulation of both ends of a call, joined by links in virtual time."""
