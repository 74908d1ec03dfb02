"""Takes from the wheels what building and running needs, in the layout of site-packages.

The libraries find each other by the RPATH they were built with (`$ORIGIN/../../nvidia/.../lib`),
so `torch/` and `nvidia/` stay side by side and no LD_LIBRARY_PATH is needed.
"""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

HEADERS = r"torch/include/.+"
LICENCES = r"[^/]+\.dist-info/licenses/.+"
KEEP = {
    "cpu": re.compile(
        rf"{HEADERS}|{LICENCES}"
        r"|torch/lib/(libtorch|libtorch_cpu|libc10)\.so|torch/lib/libgomp\.so\.1"
        r"|nvidia/cu13/lib/(libcupti|libcudart)\.so\.13"
    ),
    "cu130": re.compile(
        rf"{HEADERS}|{LICENCES}"
        r"|torch/lib/(?!libtorch_python|libshm)[^/]+\.so(\.\d+)*"
        r"|nvidia/[^/]+/(lib/[^/]+\.so(\.\d+)*|include/.+)"
    ),
}


def unpack(wheel: Path, cut: str, directory: Path) -> None:
    """Unpacks the members of `wheel` that `cut` keeps into `directory`."""
    keep = KEEP[cut]
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if keep.fullmatch(name) and not name.endswith("/"):
                path = Path(archive.extract(name, directory))
                if ".so" in path.name:
                    path.chmod(0o755)
