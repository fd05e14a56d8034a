"""A recorded call to look at: a model of what happened, and its pictures, words and figures."""
