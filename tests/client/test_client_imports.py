import subprocess
import sys

BLOCK = """
import sys
FORBIDDEN = ("torch", "unicorn", "dramatiq", "services", "redis", "pydantic", "onnx", "psutil", "grpc_health")
class Guard:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in FORBIDDEN:
            raise ImportError(f"the client must not import {name}")
sys.meta_path.insert(0, Guard())
from tinyfarm import Client
import tinyfarm.cli.main
print(Client.__name__)
"""


def test_client_and_command_line_import_without_the_services_packages():
    done = subprocess.run([sys.executable, "-c", BLOCK], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "Client\n", "")
