"""Layers and packages that systems are made from: Poukai, the I2C server, the MQTT relay, microVMs.

They only say what goes into a manifest. What the apps do is in `kos.services`.
"""

from kos.systems.i2c_server import Bus, I2CServer
from kos.systems.microvm import Disk, MicroVM
from kos.systems.mqtt_relay import MqttRelay
from kos.systems.poukai import Poukai

__all__ = ["Bus", "Disk", "I2CServer", "MicroVM", "MqttRelay", "Poukai"]
