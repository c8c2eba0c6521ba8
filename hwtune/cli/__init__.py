"""Verbs: choose the host, call the session, print."""
