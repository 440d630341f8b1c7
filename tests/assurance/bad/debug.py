"""Faults that help an attacker as they helped a developer, and secrets in the wrong place."""

from dataclasses import replace

from kos.assurance.image import ImageFile
from tests.assurance.world import STATION_SHA, World, fault, near_miss


def option(w: World, **options: object) -> None:
    w.manifest["options"] |= options


@fault("remote-shell")
def release_with_a_remote_shell(w: World) -> None:
    option(w, remote_shell=True)


@near_miss("remote-shell")
def development_with_a_remote_shell(w: World) -> None:
    option(w, remote_shell=True)
    w.profile = "development"


@fault("debugger")
def release_with_a_debugger(w: World) -> None:
    option(w, debugger=True)


@near_miss("debugger")
def development_with_a_debugger(w: World) -> None:
    option(w, debugger=True)
    w.profile = "development"


@fault("payload-tracing")
def release_that_traces_payloads(w: World) -> None:
    option(w, unsafe_trace_payloads=True)


@near_miss("payload-tracing")
def development_that_traces_payloads(w: World) -> None:
    option(w, unsafe_trace_payloads=True)
    w.profile = "development"


@fault("tracing")
def release_that_traces(w: World) -> None:
    option(w, tracing=True)


@near_miss("tracing")
def development_that_traces(w: World) -> None:
    option(w, tracing=True)
    w.profile = "development"


@fault("test-port")
def release_with_a_port_for_tests(w: World) -> None:
    w.port("sensor_test_protocol")
    w.grant("station", "sensor_test_protocol", "server")
    w.grant("sensor", "sensor_test_protocol")


@near_miss("test-port")
def port_that_sounds_like_a_test(w: World) -> None:
    w.port("latest_protocol")
    w.grant("station", "latest_protocol", "server")
    w.grant("sensor", "latest_protocol")


@fault("default-credential")
def password_that_everybody_knows(w: World) -> None:
    w.app("station")["config"] = {"mqtt": {"user": "admin", "password": "Admin"}}


@near_miss("default-credential")
def user_name_that_everybody_knows(w: World) -> None:
    w.app("station")["config"] = {"mqtt": {"user": "admin", "password": "$MQTT_PASSWORD"}}


@fault("literal-secret")
def private_key_in_the_environment(w: World) -> None:
    w.app("station")["environ"] = {"TLS": "-----BEGIN EC PRIVATE KEY-----\nMHcCAQ=="}


@fault("literal-secret")
def password_as_an_argument(w: World) -> None:
    w.app("station")["arguments"] = ["--password", "correct horse"]


@fault("literal-secret")
def password_in_a_url(w: World) -> None:
    w.app("station")["config"] = {"broker": "mqtts://station:correct-horse@example.org"}


@fault("literal-secret")
def token_in_the_configuration(w: World) -> None:
    w.app("station")["config"] = {"api_token": "2f6c1e7b0a"}


@near_miss("literal-secret")
def public_key_and_references(w: World) -> None:
    w.app("station")["config"] = {
        "peer_public_key": "-----BEGIN PUBLIC KEY-----\nMFkw",
        "password": "/data/password",
        "token_lifetime": "10 minutes",
        "secret": "",
    }


@fault("shared-credential", "literal-secret")
def two_apps_with_one_password(w: World) -> None:
    w.app("station")["config"] = {"password": "correct horse"}
    w.app("sensor")["environ"] = {"DB_PASSWORD": "correct horse"}


@near_miss("shared-credential", "literal-secret")
def two_apps_with_two_passwords(w: World) -> None:
    w.app("station")["config"] = {"password": "correct horse"}
    w.app("sensor")["environ"] = {"DB_PASSWORD": "battery staple"}


@fault("kernel-command-line", "unexpected-kernel-start")
def kernel_started_without_its_defences(w: World) -> None:
    option(w, kernel_command_line="mitigations=off")


@near_miss("kernel-command-line")
def kernel_started_as_the_board_says(w: World) -> None:
    option(w, kernel_command_line="")


@fault("unexpected-kernel-start")
def kernel_started_by_somebody_else(w: World) -> None:
    w.running["kernel_command_line"] += " init=/bin/sh"


@near_miss("unexpected-kernel-start")
def kernel_words_in_another_order(w: World) -> None:
    w.running["kernel_command_line"] = "ro console=ttymxc1"


def add_file(w: World, file: ImageFile) -> None:
    blob = w.image.blobs[STATION_SHA]
    w.image = replace(w.image, blobs={**w.image.blobs, STATION_SHA: replace(blob, files=(*blob.files, file))})


@fault("secret-in-image")
def private_key_in_an_image(w: World) -> None:
    add_file(w, ImageFile("site/key.pem", "file", 0o600, secret="a private key"))


@near_miss("secret-in-image")
def certificate_in_an_image(w: World) -> None:
    add_file(w, ImageFile("site/ca.pem", "file", 0o644))
