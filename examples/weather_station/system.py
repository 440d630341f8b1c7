"""The weather station: a sensor app in C, a station app in Python, and a (simulated) BME280 on i2c2."""

from kos.manifest import App, CImage, Context, PythonImage, System
from kos.systems import I2CServer, Poukai

WEATHER = "weather_protocol"
BME280 = 0x76


class WeatherStation(System):
    base = Poukai
    release = "0.1.0"

    def setup(self, ctx: Context) -> Context:
        interval = ctx.config.whole("sensor", "interval", 1000)  # milliseconds
        sensor = App("wx_sensor", CImage("apps/wx_sensor"), arguments=[str(interval)], memory=16 << 20)
        station = App(
            "station",
            PythonImage("apps/station"),
            priority=110,  # a server runs before those who wait for it
            config={"crash_after": ctx.config.whole("station", "crash_after", 0)},
        )
        # On a board, leave `simulate` out: the server then uses the board's own bus.
        bus = I2CServer(Poukai.i2c2, devices={"wx_sensor": [BME280]}, simulate={BME280: "bme280"})
        ctx = (
            ctx.put_port(WEATHER, Poukai.msg_server)
            .put_app(sensor)
            .put_app(station)
            .put_app(bus)
            .serve_protocol("station", WEATHER, Poukai.msg_server)
            .connect_protocol("wx_sensor", WEATHER, Poukai.msg_server)
            .connect_protocol("station", Poukai.log)
            .set_kos_options(persistent_boot=True)
        )
        return self._with_intruder(ctx) if ctx.config.flag("demo", "intruder", False) else ctx

    def _with_intruder(self, ctx: Context) -> Context:
        """An app that was granted random numbers only, and tries to reach everything else."""
        intruder = App("intruder", PythonImage("apps/intruder"))
        return ctx.put_app(intruder).connect_protocol("intruder", Poukai.rng)
