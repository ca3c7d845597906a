"""Sends requests made from a service's OpenAPI document; needs schemathesis.

Usage: python experiments/serving/fuzz.py --port PORT --token TOKEN [--examples N]
    [--ids ID ...] [--secret TEXT]

Sends valid and invalid bodies. Prints a JSON object: number of requests, number of each
status, and problems: a status of 500 or above, a trace, or a text of another tenant.
"""

import argparse
import collections
import json
import sys
from typing import Any

import hypothesis
import hypothesis.strategies as st
import schemathesis
from schemathesis import GenerationMode

TRACES = ("Traceback", 'File "', ".py", "sqlalchemy", "sqlite")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--token", required=True, help="token of the tenant")
    parser.add_argument(
        "--examples", type=int, default=600, help="requests per operation"
    )
    parser.add_argument(
        "--ids", nargs="*", default=[], help="ids of tasks of any tenant"
    )
    parser.add_argument("--secret", help="text that no answer may contain")
    options = parser.parse_args()
    url = f"http://127.0.0.1:{options.port}"
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    headers = {"Authorization": f"Bearer {options.token}"}
    statuses, problems = collections.Counter(), []

    def send(case: Any) -> None:
        answer = case.call(base_url=url, headers=headers)
        statuses[answer.status_code] += 1
        problem = wrong(answer, options.secret)
        if problem and len(problems) < 20:
            problems.append(f"{case.method} {case.path} {case.body!r:.300}: {problem}")

    settings = hypothesis.settings(
        max_examples=options.examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    for operation in schema.get_all_operations():
        cases = st.one_of(
            operation.ok().as_strategy(generation_mode=mode) for mode in GenerationMode
        )
        ids = st.sampled_from(options.ids) if options.ids else st.none()

        @settings
        @hypothesis.given(cases, st.booleans(), ids)
        def fuzz(case, is_known, id):
            if is_known and id and "id" in (case.path_parameters or {}):
                case.path_parameters["id"] = id
            send(case)

        fuzz()
    total = sum(statuses.values())
    print(json.dumps({"requests": total, "statuses": statuses, "problems": problems}))
    return int(bool(problems))


def wrong(answer: Any, secret: str | None) -> str | None:
    """Describes the problem of an answer; None if there is none."""
    if answer.status_code >= 500:
        return f"status {answer.status_code}: {answer.text[:300]}"
    if secret and secret in answer.text:
        return "text of another tenant"
    error = answer.text if answer.status_code >= 400 else ""
    trace = next((word for word in TRACES if word in error), None)
    return f"{trace!r} in {error[:300]}" if trace else None


if __name__ == "__main__":
    sys.exit(main())
