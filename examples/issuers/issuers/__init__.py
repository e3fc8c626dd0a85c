"""Issuer profiles of an identity provider: who may sign tokens, and with which key."""
