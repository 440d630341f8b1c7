"""How a Python app is started: `kos.app.main MODULE:FUNCTION [arguments]`.

`sys.path` becomes what the interpreter brings, the runtime and, last, the app's own `/app/site`. The function
is called without arguments; `sys.argv` is the app's name and the manifest's arguments, as in C. Standard
output is the console and is written line by line. It redirects nothing and only prints what was raised.
"""

from __future__ import annotations

import faulthandler
import os
import sys
from types import ModuleType

from kos.abi.debug import ENVIRON_SHELL

APP_SITE = "/app/site"


def run(entry: str, arguments: list[str]) -> int:
    """Call the app's function and return the exit status of the process."""
    module_name, _, function_name = entry.partition(":")
    if not module_name or not function_name:
        print(f"expected MODULE:FUNCTION, found {entry!r}", file=sys.stderr)
        return 1
    sys.argv = [os.environ.get("KOS_APP_NAME", module_name), *arguments]
    if APP_SITE not in sys.path and os.path.isdir(APP_SITE):
        sys.path.append(APP_SITE)
    faulthandler.enable()  # a crash below Python says where in Python it was
    sys.stdout.reconfigure(line_buffering=True)  # a pipe would hold lines back until it is full
    try:
        module = __import__(module_name, fromlist=[function_name])
        if ENVIRON_SHELL in os.environ:
            _open_to_debugging(module)
        result = getattr(module, function_name)()
    except SystemExit:
        raise
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    finally:
        sys.stdout.flush()
    return result if isinstance(result, int) else 0


def _open_to_debugging(module: ModuleType) -> None:
    """Serve the channel that the manifest granted. Imported here: an app without one has none of this."""
    from kos.app.shell import channel, interpreter

    channel.serve(ENVIRON_SHELL, lambda sender: interpreter.Shell(sender, module))


def main() -> int:
    if len(sys.argv) < 2:
        print("usage: kos.app.main MODULE:FUNCTION [arguments]", file=sys.stderr)
        return 1
    return run(sys.argv[1], sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
