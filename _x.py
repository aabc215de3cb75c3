import sys, tempfile, pathlib, time, dataclasses
from tests.hostile_models import ATTACKS, IN_THE_RUNTIME
from tests import models
from rapide.server.trials import *
from rapide.server.model.session import SessionOptions
from rapide.server.errors import BrokenVersion
from rapide.server.repository.snapshot import VersionEntry
o=dataclasses.asdict(SessionOptions())
L=TrialLimits(2<<30, 4.0)
d=pathlib.Path(tempfile.mkdtemp()); p=models.save(models.linear(), d/"model.onnx")
for _ in range(3):
    t=time.time(); print(try_version(VersionEntry("m",1,p,None,None,"r",1),L,o), time.time()-t)
for a in IN_THE_RUNTIME+ATTACKS[:3]:
    d=pathlib.Path(tempfile.mkdtemp()); a.write(d); t=time.time()
    try: r=try_version(VersionEntry("m",1,d/"model.onnx",None,None,"r",1),L,o)
    except BrokenVersion as e: r=e
    print(f"{a.name:40s} {time.time()-t:5.1f}s {r}"[:300], flush=True)
