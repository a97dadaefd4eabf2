"""The screen and the terminal of GuardUI."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("guardui")
except PackageNotFoundError:  # run from a folder that was never installed, as a Space does
    __version__ = "0.1.0"
