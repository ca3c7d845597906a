"""OpenAPI document, and its page, without scripts and resources of other hosts."""

import html
import json
from collections.abc import Sequence
from typing import Any

from pydantic.json_schema import models_json_schema

from metaflax._version import __version__

REFERENCE = "#/components/schemas/{model}"
# Error statuses of every operation.
ERRORS = {
    "401": "The token is missing or unknown.",
    "404": "You have no such task.",
    "409": "The task was changed by others, or belongs to another model.",
    "413": "The body is too large.",
    "422": "The body does not fit.",
    "429": "Too many requests; `Retry-After` tells when to try again.",
    "503": "Tasks cannot be stored or read at present.",
    "504": "The deadline has passed.",
}
STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 0 auto; padding: 1rem; }
pre { overflow-x: auto; padding: 0.75rem; border: 1px solid; border-radius: 0.25rem; }
summary { cursor: pointer; font-family: ui-monospace, monospace; padding: 0.25rem 0; }
summary b { display: inline-block; min-width: 5rem; }
"""


def openapi(
    operations: Sequence[Any], error: type[Any], *, secured: bool
) -> dict[str, Any]:
    """Makes the OpenAPI document of operations.

    Args:
      operations: operations with `method`, `path`, `summary`, `body`, `answer`,
        `status`, `media`.
      error: class of the response body of errors.
      secured: whether requests need a token.
    """
    inputs = [o.body for o in operations if o.body]
    outputs = [*(o.answer for o in operations if o.answer), error]
    kinds: list[Any] = [
        *((kind, "validation") for kind in dict.fromkeys(inputs)),
        *((kind, "serialization") for kind in dict.fromkeys(outputs)),
    ]
    references, definitions = models_json_schema(kinds, ref_template=REFERENCE)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(
            operation, references, references[error, "serialization"]
        )
    document = {
        "openapi": "3.1.0",
        "info": {"title": "metaflax", "version": __version__},
        "paths": paths,
        "components": {"schemas": definitions["$defs"]},
    }
    if secured:
        scheme = {"type": "http", "scheme": "bearer"}
        document["components"]["securitySchemes"] = {"token": scheme}
        document["security"] = [{"token": []}]
    return document


def _operation(operation: Any, references: Any, error: Any) -> dict[str, Any]:
    success: dict[str, Any] = {"description": "Success."}
    if operation.answer:
        success["content"] = _json(references[operation.answer, "serialization"])
    elif operation.media:
        schema = {"type": "string", "contentMediaType": operation.media}
        success["content"] = {operation.media: {"schema": schema}}
    responses = {str(operation.status): success}
    for status, text in ERRORS.items():
        responses[status] = {"description": text, "content": _json(error)}
    described: dict[str, Any] = {
        "operationId": operation.run.__name__,
        "summary": operation.summary,
        "responses": responses,
    }
    if "{id}" in operation.path:
        described["parameters"] = [
            {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
        ]
    if operation.body:
        described["requestBody"] = {
            "required": True,
            "content": _json(references[operation.body, "validation"]),
        }
    return described


def _json(schema: Any) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def docs_page(document: dict[str, Any]) -> str:
    """Renders an OpenAPI document as an HTML page."""
    operations = [
        _section(f"<b>{method.upper()}</b> {html.escape(path)}", operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    schemas = [
        _section(html.escape(name), schema)
        for name, schema in sorted(document["components"]["schemas"].items())
    ]
    title = html.escape(f"{document['info']['title']} {document['info']['version']}")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}'
        '</title><meta name="viewport" content="width=device-width"><style>'
        f"{STYLE}</style></head><body><h1>{title}</h1>"
        '<p><a href="openapi.json">OpenAPI document</a></p>'
        f"<h2>Operations</h2>{''.join(operations)}<h2>Bodies</h2>{''.join(schemas)}"
        "</body></html>"
    )


def _section(title: str, content: dict[str, Any]) -> str:
    summary = html.escape(content.get("summary") or content.get("description", ""))
    text = html.escape(json.dumps(content, indent=2))
    body = f"<p>{summary}</p><pre>{text}</pre>"
    return f"<details><summary>{title}</summary>{body}</details>"
