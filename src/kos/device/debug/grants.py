"""What the manifest opens to people, and how an app is looked into. Pure."""

from __future__ import annotations

from kos.abi.errors import KosError
from kos.abi.stream import CONSOLE, GDB, SHELL
from kos.manifest.images import BuiltCImage, BuiltPythonImage, BuiltVmImage, CImage, PythonImage, VmImage
from kos.manifest.model import App
from kos.manifest.options import Options

_WORDS = {SHELL: "a shell", CONSOLE: "a guest's console", GDB: "a debugger"}
_OPTIONS = {SHELL: "remote_shell", CONSOLE: "remote_shell", GDB: "debugger"}


def kind_of(app: App) -> str | None:
    """The one kind of stream that an app of its image can have."""
    match app.image:
        case BuiltPythonImage() | PythonImage():
            return SHELL
        case BuiltVmImage() | VmImage():
            return CONSOLE
        case BuiltCImage() | CImage():
            return GDB
    return None


def granted(app: App, options: Options) -> str | None:
    """The kind of stream that the manifest opens this app to; None for none."""
    kind = kind_of(app)
    return kind if app.debug and kind is not None and getattr(options, _OPTIONS[kind]) else None


def check(app: App, options: Options, wanted: str) -> None:
    """Raise KosError, with what the manifest would have to say, unless the app is open to `wanted`."""
    kind = kind_of(app)
    if wanted not in _WORDS:
        raise KosError(f"there is no stream {wanted[:20]!r}", hint=f"one of {', '.join(_WORDS)}")
    if kind != wanted:
        has = f"it can have {_WORDS[kind]}" if kind else "a core service has no stream at all"
        raise KosError(f"{app.name} cannot have {_WORDS[wanted]}", hint=has)
    if granted(app, options) is None:
        raise KosError(
            f"the manifest does not open {app.name} to {_WORDS[wanted]}",
            hint=f"App({app.name!r}, …, debug=True) and set_kos_options({_OPTIONS[wanted]}=True)",
        )


def words(kind: str) -> str:
    """A kind for people."""
    return _WORDS[kind]
