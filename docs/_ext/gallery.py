"""What sphinx-gallery needs to know of the examples."""

import tempfile
from pathlib import Path


def arguments(gallery: dict, script: dict) -> list[str]:
    """Command line of an example: the pictures that it writes are taken from its figures, so the files are nobody's."""
    return ["--output", str(Path(tempfile.gettempdir()) / "example.png")]
