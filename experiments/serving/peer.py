"""A thin service around sentence-transformers with scikit-learn heads.

Usage: python experiments/serving/peer.py --model DIRECTORY --port PORT

It answers the requests of run.py as `metaflax serve` does: tasks are logistic
regressions on the embeddings of a frozen encoder. It is minimal: tasks stay in memory,
there is one tenant, and nothing is bounded or checked. A forward pass encodes the texts
of one request, one request at a time with all cores.
"""

import argparse
import threading
import uuid

import numpy as np
import sentence_transformers
import torch
import uvicorn
from sklearn.linear_model import LogisticRegression
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


def application(model: str, threads: int) -> Starlette:
    torch.set_num_threads(threads)
    encoder = sentence_transformers.SentenceTransformer(model)
    one_at_a_time = threading.Lock()
    tasks: dict[str, dict] = {}

    def embed(texts):
        with one_at_a_time:
            return encoder.encode(texts, show_progress_bar=False)

    def learn(id, rows, before=None):
        features = embed([row["text"] for row in rows])
        labels = [row["label"] for row in rows]
        version = 1
        if before is not None:
            features = np.concatenate([before["features"], features])
            labels, version = before["labels"] + labels, before["version"] + 1
        head = LogisticRegression(max_iter=200).fit(features, labels)
        tasks[id] = {
            "features": features, "labels": labels, "head": head, "version": version,
        }  # fmt: skip
        return {"id": id, "version": version}

    def predict(task, texts):
        shares = task["head"].predict_proba(embed(texts))
        names = [str(name) for name in task["head"].classes_]
        rows = [dict(zip(names, map(float, row), strict=True)) for row in shares]
        predictions = [{"label": max(r, key=r.get), "probabilities": r} for r in rows]
        return {"version": task["version"], "predictions": predictions}

    async def create(request: Request) -> Response:
        rows = (await request.json())["examples"]
        return JSONResponse(await run_in_threadpool(learn, uuid.uuid4().hex, rows), 201)

    async def change(request: Request) -> Response:
        id = request.path_params["id"]
        if request.method == "DELETE":
            del tasks[id]
            return Response(status_code=204)
        rows = (await request.json())["examples"]
        return JSONResponse(await run_in_threadpool(learn, id, rows, tasks[id]))

    async def ask(request: Request) -> Response:
        texts = (await request.json())["texts"]
        task = tasks[request.path_params["id"]]
        return JSONResponse(await run_in_threadpool(predict, task, texts))

    async def ready(request: Request) -> Response:
        del request
        return JSONResponse({"status": "ok"})

    return Starlette(
        routes=[
            Route("/v1/tasks", create, methods=["POST"]),
            Route("/v1/tasks/{id}", change, methods=["PATCH", "DELETE"]),
            Route("/v1/tasks/{id}/predict", ask, methods=["POST"]),
            Route("/readyz", ready),
        ]
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="directory of the encoder")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument(
        "--threads", type=int, default=2, help="number of torch's threads"
    )
    args = parser.parse_args()
    app = application(args.model, args.threads)
    uvicorn.run(app, port=args.port, log_level="warning")
