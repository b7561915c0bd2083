"""Where the `tinyfarm` command begins, and `python -m tinyfarm.cli` where its script is not on PATH."""

import os
import sys

from tinyfarm.cli import exit_codes


def main() -> None:
    """Load the commands, which takes a moment in which Ctrl-C is no traceback either, and run the one asked for."""
    try:
        from tinyfarm.cli.main import app
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.stderr.flush()
        os._exit(exit_codes.INTERRUPTED)
    app(prog_name="tinyfarm")


if __name__ == "__main__":
    main()
