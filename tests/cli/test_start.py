"""The command's first moment: its modules are still being loaded."""

from __future__ import annotations

import subprocess
import sys

INTERRUPTED_WHILE_LOADING = """
import sys

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == "tinyfarm.cli.main":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupt())
from tinyfarm.cli.__main__ import main
main()
"""


def test_ctrl_c_while_loading_is_no_traceback() -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_WHILE_LOADING], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (130, "interrupted\n")
