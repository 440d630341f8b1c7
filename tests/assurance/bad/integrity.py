"""Faults in whether what runs is what was signed, and whether a bad update can be undone."""

from dataclasses import replace
from datetime import date

from kos.assurance.image import Blob, ImageFile, Signature
from tests.assurance.bad.debug import add_file, option
from tests.assurance.world import SENSOR_SHA, TODAY, World, fault, near_miss


@fault("signing-disabled")
def release_without_signing(w: World) -> None:
    option(w, disable_signing=True)


@near_miss("signing-disabled")
def development_without_signing(w: World) -> None:
    option(w, disable_signing=True)
    w.profile = "development"


@fault("no-fall-back")
def board_that_keeps_no_generations(w: World) -> None:
    option(w, persistent_boot=False)


@fault("no-fall-back")
def board_that_never_gives_up(w: World) -> None:
    option(w, boot_attempts=0)


@near_miss("no-fall-back")
def host_that_keeps_no_generations(w: World) -> None:
    option(w, persistent_boot=False)
    w.manifest["platform"] = "host"


@fault("no-health-check")
def health_check_switched_off(w: World) -> None:
    option(w, health_check=False)


@fault("no-health-check")
def system_without_a_self_test(w: World) -> None:
    del w.manifest["apps"]["self_test"], w.running["apps"]["self_test"]
    w.app("key_store")["config"]["access"].pop("self_test", None)


@near_miss("no-health-check")
def renamed_self_test(w: World) -> None:
    w.manifest["apps"]["checks"] = w.manifest["apps"].pop("self_test")
    w.running["apps"]["checks"] = w.running["apps"].pop("self_test")
    w.app("key_store")["config"]["access"].pop("self_test", None)


@fault("no-downgrade-protection")
def downgrade_allowed(w: World) -> None:
    option(w, downgrade_protection=False)


@near_miss("no-downgrade-protection")
def downgrade_allowed_in_development(w: World) -> None:
    option(w, downgrade_protection=False)
    w.profile = "development"


@fault("watchdog-off")
def watchdog_switched_off(w: World) -> None:
    option(w, watchdog=0)


@near_miss("watchdog-off")
def slow_watchdog(w: World) -> None:
    option(w, watchdog=300)


@fault("unsigned")
def image_without_a_signature(w: World) -> None:
    w.image = replace(w.image, signatures=())


@fault("unsigned")
def image_with_a_wrong_signature(w: World) -> None:
    w.image = replace(w.image, signatures=(Signature("release-2026", False),))


@near_miss("unsigned")
def image_with_two_signatures(w: World) -> None:
    w.image = replace(w.image, signatures=(Signature("one", True), Signature("two", True)))


@fault("development-key")
def image_signed_with_a_development_key(w: World) -> None:
    w.image = replace(w.image, signatures=(Signature("dev", True, development=True),))


@near_miss("development-key")
def development_signed_with_a_development_key(w: World) -> None:
    image_signed_with_a_development_key(w)
    w.profile = "development"


@fault("expired-key")
def image_signed_with_an_old_key(w: World) -> None:
    w.image = replace(w.image, signatures=(Signature("old", True, expires=date(2026, 10, 31)),))


@near_miss("expired-key")
def image_signed_on_the_last_day(w: World) -> None:
    w.image = replace(w.image, signatures=(Signature("old", True, expires=TODAY),))


def change_blob(w: World, name: str, blob: Blob | None) -> None:
    blobs = {key: value for key, value in w.image.blobs.items() if key != name}
    w.image = replace(w.image, blobs={**blobs, name: blob} if blob else blobs)


@fault("digest-mismatch")
def blob_that_was_changed(w: World) -> None:
    change_blob(w, SENSOR_SHA, replace(w.image.blobs[SENSOR_SHA], sha256="0" * 64))


@fault("digest-mismatch")
def blob_that_is_missing(w: World) -> None:
    change_blob(w, SENSOR_SHA, None)


@fault("digest-mismatch")
def blob_of_another_size(w: World) -> None:
    change_blob(w, SENSOR_SHA, replace(w.image.blobs[SENSOR_SHA], size=3001))


@fault("digest-mismatch")
def blob_that_is_no_tar(w: World) -> None:
    change_blob(w, SENSOR_SHA, replace(w.image.blobs[SENSOR_SHA], problem="invalid header"))


@near_miss("digest-mismatch")
def two_apps_with_one_blob(w: World) -> None:
    w.copy_app("sensor", "second")


@fault("stray-blob")
def blob_that_nobody_names(w: World) -> None:
    change_blob(w, "d" * 64, Blob("d" * 64, 10))


@near_miss("stray-blob")
def blob_that_a_second_app_names(w: World) -> None:
    change_blob(w, "d" * 64, Blob("d" * 64, 10))
    w.copy_app("sensor", "second", image={"kind": "c", "sha256": "d" * 64, "size": 10, "entry": "bin/x"})


@fault("setuid-file")
def setuid_program_in_the_root(w: World) -> None:
    w.image = replace(w.image, root=(ImageFile("usr/bin/mount.helper", "file", 0o4755, program=True),))


@fault("setuid-file")
def setgid_file_in_an_image(w: World) -> None:
    add_file(w, ImageFile("site/tool.py", "file", 0o2755))


@near_miss("setuid-file")
def setgid_directory(w: World) -> None:
    add_file(w, ImageFile("site/shared", "directory", 0o2755))


@fault("world-writable-file")
def file_that_anyone_may_write(w: World) -> None:
    add_file(w, ImageFile("site/settings.py", "file", 0o666))


@near_miss("world-writable-file")
def link_with_all_bits(w: World) -> None:
    add_file(w, ImageFile("site/current", "link", 0o777))


@fault("stray-program")
def shell_in_a_python_image(w: World) -> None:
    add_file(w, ImageFile("site/busybox", "file", 0o755, program=True))


@fault("stray-program")
def shell_in_the_root(w: World) -> None:
    w.image = replace(w.image, root=(*w.image.root, ImageFile("usr/bin/sh", "link", 0o777)))


@near_miss("stray-program")
def folder_of_the_root_that_is_named_as_a_shell(w: World) -> None:
    more = ImageFile("usr/share/terminfo/sh", "file", 0o644)
    w.image = replace(w.image, root=(*w.image.root, more))


@near_miss("stray-program")
def versioned_library_in_a_python_image(w: World) -> None:
    add_file(w, ImageFile("site/numpy.libs/libgfortran.so.5", "file", 0o755, program=True))


@fault("odd-file")
def device_node_in_an_image(w: World) -> None:
    add_file(w, ImageFile("dev/mem", "other", 0o600))


@fault("odd-file")
def path_that_leads_outside(w: World) -> None:
    add_file(w, ImageFile("../etc/passwd", "file", 0o644))


@near_miss("odd-file")
def name_with_two_dots(w: World) -> None:
    add_file(w, ImageFile("site/a..b", "file", 0o644))


@fault("component-without-sbom")
def component_that_the_sbom_does_not_list(w: World) -> None:
    add_file(w, ImageFile("site/requests-2.0.0.dist-info/METADATA", "file", 0o644))


@fault("component-without-sbom")
def image_without_an_sbom(w: World) -> None:
    w.image = replace(w.image, components=None)


@near_miss("component-without-sbom")
def component_under_another_spelling(w: World) -> None:
    add_file(w, ImageFile("site/Typing_Extensions-4.1.dist-info/METADATA", "file", 0o644))
    w.image = replace(w.image, components=w.image.components | {("typing-extensions", "4.1")})


@near_miss("stray-blob")
def blob_that_is_the_root(w: World) -> None:
    change_blob(w, "d" * 64, Blob("d" * 64, 10, problem="not a tar"))
    w.manifest["parts"] = {"root": {"sha256": "d" * 64, "size": 10}}


@fault("digest-mismatch")
def root_that_is_missing(w: World) -> None:
    w.manifest["parts"] = {"root": {"sha256": "d" * 64, "size": 10}}


@fault("unknown-filter")
def filter_that_was_put_into_the_root(w: World) -> None:
    w.image = replace(w.image, filters={**w.image.filters, "c.bpf": "0" * 64})


@near_miss("unknown-filter")
def filter_that_cannot_be_compared(w: World) -> None:
    w.image = replace(w.image, filters={"c.bpf": "0" * 64}, expected_filters=None)
