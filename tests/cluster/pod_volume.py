"""The files of one volume, published as a kubelet publishes a Secret: a reader sees all old files or all new ones.

Each file is a link into `..data`, itself a link to the folder of the newest version; one rename exchanges them all.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4


def publish(folder: Path, files: Mapping[str, bytes]) -> None:
    """Make `folder` hold exactly `files` (contents by relative path)."""
    folder.mkdir(parents=True, exist_ok=True)
    current, new = folder / "..data", folder / f"..{uuid4().hex}"
    old = current.resolve() if current.is_symlink() else None
    new.mkdir(mode=0o700)
    for path, content in files.items():
        (new / path).parent.mkdir(parents=True, exist_ok=True)
        (new / path).write_bytes(content)
    link = folder / "..data_new"
    link.symlink_to(new.name)
    link.rename(current)
    names = {Path(path).parts[0] for path in files}
    for name in names:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(Path("..data") / name)
    for name in os.listdir(folder):
        if not name.startswith("..") and name not in names:
            (folder / name).unlink()
    if old:
        shutil.rmtree(old)
