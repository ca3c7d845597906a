"""Construction of the service as an application, and as a process."""

import dataclasses
from pathlib import Path
from typing import Any

from rich.console import Console

from metaflax.few_shot._settings import LearnerSettings
from metaflax.serving._limits import Limits

LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclasses.dataclass(frozen=True)
class ServerSettings:
    """Settings of the service.

    Attributes:
      learner: settings of the model and of its adaptation.
      store: folder of tasks: an SQLite database and files of weights.
      database: SQLAlchemy URL of another database.
      weights: fsspec URL of another place of the files, such as `s3://bucket/tasks`.
      tokens: JSON file of tokens by tenant; None for one tenant without a token.
      limits: limits of requests.

    Examples:
      >>> import dataclasses
      >>> from metaflax import serving
      >>> settings = serving.ServerSettings()
      >>> settings.store.name, settings.learner.model, settings.limits.max_texts
      ('tasks', 'minilm', 256)
      >>> learner = dataclasses.replace(settings.learner, model="./absent")
      >>> serving.create_app(dataclasses.replace(settings, learner=learner))
      Traceback (most recent call last):
        ...
      ValueError: there is no directory ./absent; check the path.
    """

    learner: LearnerSettings = dataclasses.field(default_factory=LearnerSettings)
    store: Path = Path("tasks")
    database: str | None = None
    weights: str | None = None
    tokens: Path | None = None
    limits: Limits = dataclasses.field(default_factory=Limits)


def create_app(settings: ServerSettings) -> Any:
    """Makes the service as an ASGI application.

    Args:
      settings: settings of the service.

    Returns:
      A Starlette application. It compiles the encoder after its start, and is then
      ready (`/readyz`).

    Raises:
      ValueError: if the model, the store or the tokens cannot be used, or the extra is
        not installed.

    Examples:
      >>> import pathlib
      >>> from metaflax import serving
      >>> settings = serving.ServerSettings(tokens=pathlib.Path("absent.json"))
      >>> serving.create_app(settings)
      Traceback (most recent call last):
        ...
      ValueError: absent.json: cannot be read as JSON ([Errno 2] No such file or ...
    """
    try:
        from metaflax.few_shot._sources import load_learner
        from metaflax.serving._api import application
        from metaflax.serving._service import Service
        from metaflax.serving._store import TaskStore
        from metaflax.serving._tenants import Tenants
    except ImportError as error:
        raise ValueError(
            f"the service needs {error.name}; run `pip install 'metaflax[serve]'`."
        ) from None
    tenants = Tenants.read(settings.tokens)
    learner = load_learner(settings.learner)
    folder = settings.store.expanduser().absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        store = TaskStore(
            settings.database or f"sqlite:///{folder / 'tasks.sqlite'}",
            settings.weights or folder / "weights",
        )
    except Exception as error:  # Raised by the folder, the URL, or the driver.
        raise ValueError(f"tasks cannot be kept in {folder}: {error}") from error
    return application(Service(learner, store, settings.limits), tenants)


def serve(
    settings: ServerSettings,
    console: Console,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
) -> None:
    """Serves until the process is terminated.

    Args:
      settings: settings of the service.
      console: console for the address.
      host: address to listen on.
      port: port to listen on.

    Raises:
      ValueError: as `create_app`, and without tokens for an address that other machines
        can reach.

    Examples:
      >>> import rich.console
      >>> from metaflax import serving
      >>> console = rich.console.Console()
      >>> serving.serve(serving.ServerSettings(), console, host="0.0.0.0")
      Traceback (most recent call last):
        ...
      ValueError: without tokens anyone who reaches 0.0.0.0 could ask; give ...
    """
    if settings.tokens is None and host not in LOOPBACK:
        raise ValueError(
            f"without tokens anyone who reaches {host} could ask; give --tokens FILE,"
            " or listen on 127.0.0.1."
        )
    app = create_app(settings)
    import uvicorn

    console.print(
        f"serving on http://{host}:{port}, documented at /docs", soft_wrap=True
    )
    uvicorn.run(
        app,
        host=host,
        port=port,
        log_level="warning",
        timeout_keep_alive=30,
        server_header=False,
    )
