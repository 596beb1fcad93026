"""Deliveries that lose nothing: a queue in the store, a thread of their own, and rules for what is told."""
