"""A project's settings: typed, overridable, and honest about where a wrong one is."""

from __future__ import annotations

import pytest

from kos.manifest import Config, ManifestError, limits

TEXT = """
[weather]
name = "north"
interval = 5
factor = 1.5
enabled = true
cities = ["Oslo", "Bergen"]
[weather.limits]
low = -40
"""


def test_settings_are_read_with_their_type():
    config = Config.parse(TEXT)
    assert config.text("weather", "name") == "north"
    assert config.whole("weather", "interval") == 5
    assert config.number("weather", "factor") == 1.5
    assert config.number("weather", "interval") == 5.0
    assert config.flag("weather", "enabled") is True
    assert config.items("weather", "cities") == ("Oslo", "Bergen")
    assert config.whole("weather.limits", "low") == -40
    assert config.text("weather", "nothing", "default") == "default"
    assert config.section("nothing") == {}


def test_the_environment_overrides():
    environment = {
        "KOS_CONFIG_WEATHER__INTERVAL": "9",
        "KOS_CONFIG_WEATHER__NAME": "plain text",
        "KOS_CONFIG_WEATHER__LIMITS__LOW": "-1",
        "KOS_CONFIG_NEW__FLAG": "true",
        "PATH": "/bin",
    }
    config = Config.parse(TEXT, environment)
    assert config.whole("weather", "interval") == 9
    assert config.text("weather", "name") == "plain text"
    assert config.whole("weather.limits", "low") == -1
    assert config.flag("new", "flag") is True
    assert config.flag("weather", "enabled") is True


def test_a_value_cannot_smuggle_more_settings():
    config = Config.parse("", {"KOS_CONFIG_A__B": "1\nother = 2"})
    assert config.text("a", "b") == "1\nother = 2"


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (
            lambda c: c.whole("weather", "name"),
            "app.toml: [weather] name: expected a whole number, found 'north'",
        ),
        (lambda c: c.whole("weather", "enabled"), "[weather] enabled: expected a whole number, found True"),
        (lambda c: c.text("weather", "cities"), "[weather] cities: expected text"),
        (lambda c: c.flag("weather", "interval"), "[weather] interval: expected true or false, found 5"),
        (
            lambda c: c.text("weather", "city"),
            "[weather] city is missing, expected text\nhint: or set KOS_CONFIG_WEATHER__CITY",
        ),
        (lambda c: c.text("weather.name", "x"), "[weather.name] must be a table"),
        (lambda c: c.whole("env", "x"), "environment: KOS_CONFIG_ENV__X: expected a whole number, found 'y'"),
    ],
)
def test_a_wrong_setting_says_where(read, message: str):
    config = Config.parse(TEXT, {"KOS_CONFIG_ENV__X": "y"}, where="app.toml")
    with pytest.raises(ManifestError) as caught:
        read(config)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "environment", "message"),
    [
        ("[", {}, "not TOML"),
        ("a = " + "[" * 100_000, {}, "not TOML"),
        ("#" * (limits.PROJECT_CONFIG_BYTES_MAX + 1), {}, "characters are too many"),
        ("", {"KOS_CONFIG_A": "1"}, "expected KOS_CONFIG_<SECTION>__<KEY>"),
        ("", {"KOS_CONFIG___A": "1"}, "expected KOS_CONFIG_<SECTION>__<KEY>"),
        ("", {"KOS_CONFIG_" + "__".join(["A"] * 17): "1"}, "expected KOS_CONFIG_<SECTION>__<KEY>"),
        ("", {"KOS_CONFIG_A__B": "x" * 16385}, "16385 characters"),
        ("a = 1", {"KOS_CONFIG_A__B": "1"}, "a is a value, not a table"),
    ],
)
def test_what_is_not_a_configuration_is_refused(text: str, environment: dict[str, str], message: str):
    with pytest.raises(ManifestError, match=message):
        Config.parse(text, environment)
