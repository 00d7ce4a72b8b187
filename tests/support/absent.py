"""Programs in a Python where some modules and their distributions are not installed."""

import subprocess
import sys
from collections.abc import Sequence

WITHOUT = """
import sys
from importlib import metadata
from importlib.machinery import PathFinder
absent = sys.argv.pop(1).split(",")
class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        hidden = name.partition(".")[0] in absent
        return None if hidden else super().find_spec(name, path, target)
sys.meta_path = [Without if finder is PathFinder else finder for finder in sys.meta_path]
version, every = metadata.version, metadata.distributions
def told(name):
    if name in absent:
        raise metadata.PackageNotFoundError(name)
    return version(name)
metadata.version = told
metadata.distributions = lambda: (d for d in every() if d.metadata["Name"] not in absent)
"""


def run_without(
    modules: Sequence[str], code: str, *arguments: object, **options: object
) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own in which no such module can be found."""
    command = [sys.executable, "-W", "ignore", "-c", WITHOUT + code, ",".join(modules)]
    return subprocess.run(
        [*command, *map(str, arguments)], capture_output=True, text=True, check=False, **options
    )
