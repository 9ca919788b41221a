"""Notifications: the messages, the command and the webhook that get them, and their process."""
