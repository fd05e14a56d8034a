"""Situations that other bridges between a phone and a model have met, each by its number.

`index` says which test holds each of them, or why a call of ours cannot come into it.
"""
