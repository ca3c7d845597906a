"""HTTP interface: operations, routes and handling of requests."""

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeVar

import pydantic
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import (
    FileResponse,
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    Response,
)
from starlette.routing import Route

from metaflax.serving import _messages as messages
from metaflax.serving._archive import remove_archive
from metaflax.serving._documents import docs_page, openapi
from metaflax.serving._errors import ApiError, late
from metaflax.serving._page import page_routes
from metaflax.serving._service import READY, Service
from metaflax.serving._store import StoredTask
from metaflax.serving._tenants import RateLimit, Tenants

LOG = logging.getLogger("metaflax.serving")
M = TypeVar("M", bound=messages.Message)


class Operation(NamedTuple):
    """Operation of the HTTP interface.

    Attributes:
      method: HTTP method.
      path: URL path with parameters in braces.
      summary: description in one sentence.
      answer: class of the response body of success; None for no body.
      run: `content = await run(api, tenant, request, body)`.
      body: class of the request body; None for no body.
      status: HTTP status of success.
      media: media type of a response that is a file; None for JSON or no body.
    """

    method: str
    path: str
    summary: str
    answer: type[messages.Message] | None
    run: Callable[..., Awaitable[Any]]
    body: type[messages.Message] | None = None
    status: int = 200
    media: str | None = None


async def create(service: Service, tenant: str, request: Request, body: Any) -> Any:
    """Learns a task."""
    del request
    return _shown(await service.create(tenant, body.name, _rows(body.examples)))


async def list_tasks(service: Service, tenant: str, request: Request, body: Any) -> Any:
    """Lists tasks."""
    del request, body
    return {"tasks": [_shown(task) for task in await service.tasks_of(tenant)]}


async def get(service: Service, tenant: str, request: Request, body: Any) -> Any:
    """Returns a task."""
    del body
    task = await service.get(tenant, _id(request))
    return {**_shown(task), "examples": task.examples}


async def extend(service: Service, tenant: str, request: Request, body: Any) -> Any:
    """Learns from more examples."""
    rows = _rows(body.examples)
    return _shown(await service.extend(tenant, _id(request), rows))


async def delete(service: Service, tenant: str, request: Request, body: Any) -> Any:
    """Deletes a task."""
    del body
    await service.delete(tenant, _id(request))


async def predict(service: Service, tenant: str, request: Request, body: Any) -> Any:
    """Predicts texts."""
    if len(body.texts) > (most := service.limits.max_texts):
        raise ApiError(422, "too_many_texts", f"send at most {most} texts at once.")
    task, predictions = await service.predict(
        tenant,
        _id(request),
        body.texts,
        explain=body.explain,
        words=body.words,
        reject=body.reject,
    )
    return {"version": task.version, "predictions": predictions}


async def evaluate(service: Service, tenant: str, request: Request, body: Any) -> Any:
    """Evaluates a task."""
    rows = None if body.examples is None else _rows(body.examples)
    return await service.evaluate(tenant, _id(request), rows)


async def suggest(service: Service, tenant: str, request: Request, body: Any) -> Any:
    """Suggests texts to label next."""
    task, rows = await service.suggest(
        tenant, _id(request), body.texts, body.number, body.strategy
    )
    return {"version": task.version, "suggestions": rows}


async def model(service: Service, tenant: str, request: Request, body: Any) -> Any:
    """Returns a task as a model, zipped."""
    del body
    archive = await service.archive(tenant, _id(request))
    return FileResponse(
        archive,
        media_type="application/zip",
        filename="model.zip",
        background=BackgroundTask(remove_archive, archive),
    )


OPERATIONS = (
    Operation(
        "POST", "/v1/tasks", "Learns a new task from examples.",
        messages.Task, create, messages.NewTask, 201,
    ),
    Operation("GET", "/v1/tasks", "Lists your tasks.", messages.Tasks, list_tasks),
    Operation(
        "GET", "/v1/tasks/{id}", "Returns a task and its examples.",
        messages.TaskWithExamples, get,
    ),
    Operation(
        "PATCH", "/v1/tasks/{id}", "Learns a task from more examples.",
        messages.Task, extend, messages.MoreExamples,
    ),
    Operation("DELETE", "/v1/tasks/{id}", "Deletes a task.", None, delete, None, 204),
    Operation(
        "POST", "/v1/tasks/{id}/predict", "Predicts texts.",
        messages.Predictions, predict, messages.Texts,
    ),
    Operation(
        "POST", "/v1/tasks/{id}/evaluate",
        "Evaluates a task, by cross-validation or on held-out examples.",
        messages.Evaluation, evaluate, messages.Held,
    ),
    Operation(
        "POST", "/v1/tasks/{id}/suggest", "Suggests which texts to label next.",
        messages.Suggestions, suggest, messages.Pool,
    ),
    Operation(
        "GET", "/v1/tasks/{id}/model",
        "Returns a task as a model in Hugging Face's format, zipped.", None, model,
        media="application/zip",
    ),
)  # fmt: skip


def application(service: Service, tenants: Tenants) -> Starlette:
    """Makes the application of a service."""
    rate = RateLimit(service.limits.max_requests_per_minute)
    routes = [
        Route(o.path, _endpoint(o, service, tenants, rate), methods=[o.method])
        for o in OPERATIONS
    ]
    document = openapi(OPERATIONS, messages.Error, secured=not tenants.open)
    page = docs_page(document)

    async def health(request: Request) -> Response:
        del request
        return JSONResponse({"status": "ok"})

    async def readiness(request: Request) -> Response:
        del request
        status = service.status
        try:
            await asyncio.to_thread(service.store.ping)
        except ApiError as error:
            status = error.message
        return JSONResponse({"status": status}, 200 if status == READY else 503)

    async def metrics(request: Request) -> Response:
        del request
        service.metrics.waiting_texts.set(service.waiting_texts)
        return PlainTextResponse(service.metrics.page())

    async def openapi_document(request: Request) -> Response:
        del request
        return JSONResponse(document)

    async def docs(request: Request) -> Response:
        del request
        return HTMLResponse(page)

    routes += [
        *page_routes(),
        Route("/healthz", health),
        Route("/readyz", readiness),
        Route("/metrics", metrics),
        Route("/openapi.json", openapi_document),
        Route("/docs", docs),
    ]

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette):
        del app
        warming = asyncio.create_task(asyncio.to_thread(service.warm_up))
        try:
            yield
        finally:
            await asyncio.wait([warming])
            await asyncio.to_thread(service.close)

    handlers: dict[Any, Any] = {HTTPException: _refused, Exception: _failed}
    return Starlette(routes=routes, lifespan=lifespan, exception_handlers=handlers)


def _endpoint(
    operation: Operation, service: Service, tenants: Tenants, rate: RateLimit
) -> Callable[[Request], Awaitable[Response]]:
    """Makes the handler of an operation: authorization, limits, parsing, errors."""
    labels = (operation.method, operation.path)

    async def answered(request: Request) -> Response:
        tenant = tenants.tenant(request.headers.get("authorization"))
        rate.take(tenant)
        body = None
        if operation.body is not None:
            body = _parsed(operation.body, await _body(request, service), service)
        content = await operation.run(service, tenant, request, body)
        if isinstance(content, Response):
            return content
        if operation.answer is None:
            return Response(status_code=operation.status)
        return JSONResponse(content, operation.status)

    async def endpoint(request: Request) -> Response:
        started = time.monotonic()
        try:
            response = await answered(request)
        except ApiError as error:
            response = JSONResponse(error.content(), error.status, error.headers)
        except ClientDisconnect:
            response = Response(status_code=499)
        except Exception as error:
            response = await _failed(request, error)
        metrics = service.metrics
        metrics.requests.labels(*labels, response.status_code).inc()
        metrics.request_seconds.labels(*labels).observe(time.monotonic() - started)
        return response

    return endpoint


async def _body(request: Request, service: Service) -> bytes:
    """Reads the body of a request, within the limits of size and time."""
    most, chunks, size = service.limits.max_body_bytes, [], 0
    too_large = ApiError(413, "too_large", f"a body has at most {most} bytes.")
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > most:
        raise too_large
    try:
        async with asyncio.timeout(service.limits.deadline_seconds):
            async for chunk in request.stream():
                size += len(chunk)
                if size > most:
                    raise too_large
                chunks.append(chunk)
    except TimeoutError:
        raise late() from None
    return b"".join(chunks)


def _parsed(kind: type[M], content: bytes, service: Service) -> M:
    """Parses and checks the body of a request."""
    try:
        body = kind.model_validate_json(content or b"{}")
    except pydantic.ValidationError as error:
        places = error.errors(include_url=False, include_context=False)
        details = [
            {"place": ".".join(map(str, e["loc"])), "message": e["msg"]}
            for e in places[:20]
        ]
        raise ApiError(
            422, "invalid", "the body does not fit; see details.", details=details
        ) from None
    most = service.limits.max_text_chars
    texts = [e.text for e in getattr(body, "examples", None) or ()]
    for text in [*texts, *getattr(body, "texts", ())]:
        if len(text) > most:
            raise ApiError(
                422, "text_too_long", f"a text has at most {most} characters."
            )
    return body


async def _refused(request: Request, error: HTTPException) -> Response:
    """Responds to unknown paths and methods."""
    del request
    code = {404: "unknown_path", 405: "method"}.get(error.status_code, "refused")
    body = ApiError(error.status_code, code, f"{error.detail}.").content()
    return JSONResponse(body, error.status_code, error.headers)


async def _failed(request: Request, error: Exception) -> Response:
    """Responds to unexpected errors; the cause is logged, and not sent."""
    LOG.error("%s %s failed", request.method, request.url.path, exc_info=error)
    body = ApiError(500, "internal", "the service failed; its log has the cause.")
    return JSONResponse(body.content(), 500)


def _id(request: Request) -> str:
    return request.path_params["id"]


def _rows(examples: list[messages.Example]) -> list[dict[str, Any]]:
    return [example.model_dump() for example in examples]


def _shown(task: StoredTask) -> dict[str, Any]:
    """Returns a task without its examples."""
    counts = Counter(row["label"].strip() for row in task.examples)
    return {
        "id": task.id,
        "name": task.name,
        "version": task.version,
        "created": task.created,
        "updated": task.updated,
        "classes": {name: counts[name] for name in task.classes},
    }
