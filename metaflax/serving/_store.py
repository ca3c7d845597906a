"""Storage of tasks: a database table, and files of weights."""

import contextlib
import hashlib
import json
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import event, exc

from metaflax.serving._errors import ApiError, unknown_task
from metaflax.serving._weight_files import weight_files

# Files that no task refers to are removed once they are this old, in seconds: a younger
# one may belong to a task that another replica is about to record.
ORPHAN_AGE = 3600.0

_METADATA = sa.MetaData()
_TASKS = sa.Table(
    "metaflax_tasks",
    _METADATA,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("tenant", sa.String(200), nullable=False, index=True),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("updated", sa.Float, nullable=False),
    sa.Column("examples", sa.Text, nullable=False),
    sa.Column("classes", sa.Text, nullable=False),
    sa.Column("encoder", sa.String(64), nullable=False),
    sa.Column("weights", sa.String(64), nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
)
# Statements by dialect after which no other transaction stores a new task of the
# tenant. Other dialects have none: a tenant can exceed its limit there.
_LOCKS = {
    "sqlite": "BEGIN IMMEDIATE",
    "postgresql": "SELECT pg_advisory_xact_lock(hashtext(:tenant))",
}


class StoredTask(NamedTuple):
    """Stored task of a tenant.

    Attributes:
      id: identifier of the task, drawn by the store.
      tenant: owner of the task.
      name: name that the tenant chose.
      version: 1 at first, incremented by each change.
      created: time of creation in seconds since 1970.
      updated: time of the last change in seconds since 1970.
      examples: rows of `text` and `label`.
      classes: class names in the order of the outputs.
      encoder: digest of the encoder that the task was learned with.
      weights: name of the file of weights.
      digest: SHA-256 of that file.
    """

    id: str
    tenant: str
    name: str
    version: int
    created: float
    updated: float
    examples: list[dict[str, Any]]
    classes: list[str]
    encoder: str
    weights: str
    digest: str


class TaskStore:
    """Store of tasks that loses no acknowledged task.

    Weights are written to a new file and flushed to the disk before the row that names
    the file is committed. A process killed at any moment leaves the old task or the new
    one, and at worst a file that no row names.

    Args:
      url: SQLAlchemy URL of the database.
      weights: folder for the files of weights, or fsspec URL of a bucket or another
        store; shared by all replicas.
    """

    def __init__(self, url: str, weights: str | Path):
        self._files = weight_files(weights)
        self._engine = sa.create_engine(url, pool_pre_ping=True)
        if self._engine.dialect.name == "sqlite":
            event.listen(self._engine, "connect", _durable)
        with _reachable():
            _METADATA.create_all(self._engine)
        self._remove_orphans()

    def check_room(self, tenant: str, most: int) -> None:
        """Checks that a tenant may have another task.

        Raises:
          ApiError: if the tenant has as many as `most` tasks, or the store fails.
        """
        with _reachable(), self._engine.connect() as connection:
            _check_room(connection, tenant, most)

    def create(
        self,
        tenant: str,
        name: str,
        examples: Sequence[Mapping[str, Any]],
        classes: Sequence[str],
        encoder: str,
        weights: bytes,
        most: int,
    ) -> StoredTask:
        """Stores a new task.

        Raises:
          ApiError: if the tenant has as many as `most` tasks, or the store fails.
        """
        now = time.time()
        with self._transaction(weights) as (connection, file, digest):
            task = StoredTask(
                uuid.uuid4().hex, tenant, name, 1, now, now, list(map(dict, examples)),
                list(classes), encoder, file, digest,
            )  # fmt: skip
            _lock(connection, tenant)
            _check_room(connection, tenant, most)
            connection.execute(sa.insert(_TASKS).values(**_columns(task)))
        return task

    def replace(
        self,
        task: StoredTask,
        examples: Sequence[Mapping[str, Any]],
        classes: Sequence[str],
        encoder: str,
        weights: bytes,
    ) -> StoredTask | None:
        """Stores the next version of a task.

        Returns:
          The new version; None if the task was changed or deleted meanwhile.

        Raises:
          ApiError: if the store fails.
        """
        mine = (_TASKS.c.id == task.id) & (_TASKS.c.version == task.version)
        with self._transaction(weights) as (connection, file, digest):
            changed = task._replace(
                version=task.version + 1,
                updated=time.time(),
                examples=list(map(dict, examples)),
                classes=list(classes),
                encoder=encoder,
                weights=file,
                digest=digest,
            )
            update = sa.update(_TASKS).where(mine).values(**_columns(changed))
            done = connection.execute(update).rowcount == 1
        self._remove(task.weights if done else file)
        return changed if done else None

    def get(self, tenant: str, id: str) -> StoredTask:
        """Returns a task of a tenant.

        Raises:
          ApiError: if there is no such task, or the store fails.
        """
        with _reachable(), self._engine.connect() as connection:
            row = connection.execute(sa.select(_TASKS).where(_mine(tenant, id))).first()
        if row is None:
            raise unknown_task()
        return _task(row)

    def version(self, tenant: str, id: str) -> int:
        """Returns the version of a task of a tenant.

        Raises:
          ApiError: as `get`.
        """
        with _reachable(), self._engine.connect() as connection:
            query = sa.select(_TASKS.c.version).where(_mine(tenant, id))
            version = connection.execute(query).scalar()
        if version is None:
            raise unknown_task()
        return version

    def tasks_of(self, tenant: str) -> list[StoredTask]:
        """Lists the tasks of a tenant, the oldest first."""
        query = sa.select(_TASKS).where(_TASKS.c.tenant == tenant)
        query = query.order_by(_TASKS.c.created, _TASKS.c.id)
        with _reachable(), self._engine.connect() as connection:
            return [_task(row) for row in connection.execute(query)]

    def delete(self, tenant: str, id: str) -> None:
        """Deletes a task of a tenant.

        Raises:
          ApiError: as `get`.
        """
        task = self.get(tenant, id)
        with _reachable(), self._engine.begin() as connection:
            connection.execute(sa.delete(_TASKS).where(_mine(tenant, id)))
        self._remove(task.weights)

    def weights(self, task: StoredTask) -> bytes:
        """Reads the weights of a task.

        Raises:
          ApiError: if the weights are missing or damaged.
        """
        try:
            content = self._files.read(task.weights)
        except Exception:  # Stores of fsspec raise errors of their own.
            content = b""
        if hashlib.sha256(content).hexdigest() != task.digest:
            raise ApiError(
                503, "damaged", "the weights of the task are damaged; PATCH the task."
            )
        return content

    def ping(self) -> None:
        """Checks that the database answers.

        Raises:
          ApiError: if it does not.
        """
        with _reachable(), self._engine.connect() as connection:
            connection.execute(sa.select(1))

    def close(self) -> None:
        """Closes the connections."""
        self._engine.dispose()

    @contextlib.contextmanager
    def _transaction(self, weights: bytes) -> Iterator[tuple[sa.Connection, str, str]]:
        """Writes a file, then begins a transaction that is to name it.

        Yields:
          The connection, the name of the file and its digest.
        """
        file, digest = self._written(weights)
        may_be_named = False
        try:
            with _reachable(), self._engine.connect() as connection:
                yield connection, file, digest
                may_be_named = True  # Even if the commit fails on its way back.
                connection.commit()
        finally:
            if not may_be_named:
                self._remove(file)

    def _written(self, content: bytes) -> tuple[str, str]:
        """Writes a new file and flushes it; returns its name and digest."""
        name = f"{uuid.uuid4().hex}.safetensors"
        try:
            self._files.write(name, content)
        except Exception as error:  # Stores of fsspec raise errors of their own.
            raise _unavailable() from error
        return name, hashlib.sha256(content).hexdigest()

    def _remove(self, name: str) -> None:
        with contextlib.suppress(Exception):  # It is removed as an orphan later.
            self._files.remove(name)

    def _remove_orphans(self) -> None:
        with _reachable(), self._engine.connect() as connection:
            known = set(connection.execute(sa.select(_TASKS.c.weights)).scalars())
        self._files.remove_others(known, ORPHAN_AGE)


def _durable(connection: Any, record: Any) -> None:
    """Sets SQLite to durable commits, and to reads that do not wait for writes."""
    del record
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=10000"):
        connection.execute(f"PRAGMA {pragma}")


def _lock(connection: sa.Connection, tenant: str) -> None:
    """Makes other new tasks of a tenant wait for the transaction, see `_LOCKS`."""
    if statement := _LOCKS.get(connection.dialect.name):
        connection.execute(sa.text(statement), {"tenant": tenant})


def _check_room(connection: sa.Connection, tenant: str, most: int) -> None:
    query = sa.select(sa.func.count()).where(_TASKS.c.tenant == tenant)
    if connection.execute(query).scalar_one() >= most:
        raise ApiError(409, "too_many_tasks", f"there are {most} tasks; delete some.")


def _mine(tenant: str, id: str) -> Any:
    return (_TASKS.c.tenant == tenant) & (_TASKS.c.id == id)


def _columns(task: StoredTask) -> dict[str, Any]:
    return {
        **task._asdict(),
        "examples": json.dumps(task.examples),
        "classes": json.dumps(task.classes),
    }


def _task(row: Any) -> StoredTask:
    columns = dict(row._mapping)
    parsed = {name: json.loads(columns[name]) for name in ("examples", "classes")}
    return StoredTask(**{**columns, **parsed})


@contextlib.contextmanager
def _reachable() -> Iterator[None]:
    """Converts errors of the database to a response without internals."""
    try:
        yield
    except exc.SQLAlchemyError as error:
        raise _unavailable() from error


def _unavailable() -> ApiError:
    return ApiError(
        503,
        "store",
        "tasks cannot be stored or read at present; try again.",
        headers={"Retry-After": "5"},
    )
