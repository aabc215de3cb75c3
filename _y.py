import onnxruntime as ort, pathlib, tempfile
from tests.hostile_models import *
for a in IN_THE_RUNTIME[:5]+tuple(x for x in ATTACKS if "calls itself" in x.name or "sparse" in x.name):
    d=pathlib.Path(tempfile.mkdtemp()); a.write(d)
    try: ort.InferenceSession((d/"model.onnx").read_bytes(), providers=["CPUExecutionProvider"])
    except Exception as e: print(a.name,"|",str(e),"\n")
