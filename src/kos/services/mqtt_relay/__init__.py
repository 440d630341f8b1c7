"""Data out: takes what apps publish by MQTT, keeps it on the data partition, and brings it to the server.

An app publishes with any MQTT library to 127.0.0.1:1883 in its own network namespace; which app speaks is
known from the socket that the keeper of the network made there, never from what the app says. Towards the
server the relay is
the device: it signs with the device's key through the key store, which no app sees.
"""
