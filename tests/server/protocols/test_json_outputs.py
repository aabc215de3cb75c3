"""Rows cut out of a run's text are what each request's rows would be written as alone."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rapide.server.batching import Reason
from rapide.server.codecs.json_text import dump
from rapide.server.protocols.json_outputs import JsonOutputs
from rapide.server.runs import Answer, Run
from rapide.server.signature import DataType, TensorSpec
from rapide.server.tensors import NUMPY_DTYPES

DATATYPES = st.sampled_from([DataType.FP32, DataType.FP64, DataType.INT64, DataType.UINT8, DataType.BOOL])


@given(st.lists(st.integers(0, 3), min_size=1, max_size=5), st.data())
def test_each_request_gets_its_own_rows(sizes: list[int], data: st.DataObject) -> None:
    run = Run([], sum(sizes), Reason.READY, 0.0)
    shapes = st.sampled_from([(), (1,), (3,), (2, 2), (0,)])
    specs = [
        TensorSpec(f"y{number}", data.draw(DATATYPES), (-1, *data.draw(shapes)))
        for number in range(data.draw(st.integers(1, 3)))
    ]
    run.outputs = [
        data.draw(hnp.arrays(NUMPY_DTYPES[spec.datatype], (run.rows, *spec.shape[1:]))) for spec in specs
    ]
    outputs = JsonOutputs(specs, range(len(specs)))
    stop = 0
    for size in sizes:
        start, stop = stop, stop + size
        assert outputs.of(Answer(run, start, stop, 0.0)) == [
            dump(np.ascontiguousarray(array[start:stop]).reshape(-1)) for array in run.outputs
        ]
