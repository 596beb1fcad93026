"""MQTT: a connection to a broker, topics, and what Home Assistant is told of them."""
