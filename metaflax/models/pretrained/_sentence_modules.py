"""The modules of a sentence-transformers folder, and the folder of its network."""

import json
from pathlib import Path

MODULES = "modules.json"


def modules_of(folder: Path) -> list[tuple[str, str]]:
    """Lists the kind and the folder of each module, such as ("Pooling", "1_Pooling").

    Raises:
      ValueError: if `modules.json` is damaged, or leads out of the folder.
    """
    path = folder / MODULES
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read as JSON: {error}") from error
    modules = []
    for module in content if isinstance(content, list) else [content]:
        match module:
            case {"type": str(kind), "path": str(place)}:
                pass
            case _:
                raise ValueError(f"{path} is no list of modules with type and path")
        if Path(place).is_absolute() or ".." in Path(place).parts:
            raise ValueError(
                f"{path} names the folder {place!r:.60} outside of its own"
            )
        modules.append((kind.rpartition(".")[2], place))
    return modules


def network_folder(folder: Path) -> Path:
    """Returns the folder of the network, which older releases keep in a folder within.

    Raises:
      ValueError: as `modules_of`.
    """
    if (folder / "config.json").is_file() or not (folder / MODULES).is_file():
        return folder
    paths = [path for kind, path in modules_of(folder) if kind == "Transformer"]
    return folder / paths[0] if paths else folder
