"""The hand-written HTTP server: uvicorn (uvloop, httptools), Starlette, orjson, one ``session.run`` per request.

python -m rapide.loadtests.baselines.starlette_json FOLDER PORT
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rapide.loadtests.baselines import models


class Inference:
    """The infer route for JSON tensors of FP32: all that this server's one client sends."""

    def __init__(self, folder: Path) -> None:
        self.models = models.load(folder)

    async def infer(self, request: Request) -> Response:
        name = request.path_params["model"]
        model = self.models[name]
        tensor = orjson.loads(await request.body())["inputs"][0]
        answers = model.run(np.array(tensor["data"], dtype=np.float32).reshape(tensor["shape"]))
        outputs = [
            {"name": output, "datatype": datatype, "shape": answer.shape, "data": answer.ravel()}
            for output, datatype, answer in zip(model.output_names, model.datatypes, answers, strict=True)
        ]
        body = {"model_name": name, "model_version": "1", "outputs": outputs}
        return Response(orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY), media_type="application/json")


def serve(folder: Path, port: int) -> None:
    """Listens on loopback until the process is stopped."""
    app = Starlette(routes=[Route("/v2/models/{model}/infer", Inference(folder).infer, methods=["POST"])])
    uvicorn.run(
        app, host="127.0.0.1", port=port, loop="uvloop", http="httptools", log_level="warning", access_log=False
    )


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]))
