"""Publishes a temperature every now and then, with an MQTT library that knows nothing of KOS."""

import time

import paho.mqtt.client as mqtt

from kos import app

BROKER, PORT = "127.0.0.1", 1883  # the relay, in this app's own network


def main() -> None:
    interval = app.config()["interval"]
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.connect(BROKER, PORT)
    client.loop_start()
    app.ready()
    number = 0
    while True:
        number += 1
        temperature = 20 + number % 10 / 10
        # QoS 1: when this returns, the relay has it on storage.
        client.publish("weather/temperature", f"{temperature:.1f}", qos=1).wait_for_publish()
        print(f"published reading {number}: {temperature:.1f} °C", flush=True)
        time.sleep(interval)
