"""An export."""
from __future__ import annotations

from pathlib import Path
from tests.faults.forge import Forge

def test_x(bundle: Path, forge: Forge, checkpoint: Path, tmp_path: Path) -> None:
    for i in (0,1,2,4,8,16,32,48,64,80,96,128,160,200,250,300,400):
        e = forge.ran("run", bundle, "--prompt", "hi", "--max-tokens", "3","--image","/tmp/faultlab/p.png", room_mib=i)
        print("RUN",i,e.status,e.code()[:300],round(e.seconds,2), "TB" if "Traceback" in e.err else "")
        e = forge.ran("verify", bundle, room_mib=i)
        print("VER",i,e.status,e.code()[:300],round(e.seconds,2))
    for i in (0,1,2,4,8,16,32,64,128,):
        e = forge.ran("export", checkpoint, tmp_path / f"o{i}", "--precision", "fp32", room_mib=i)
        print("EXP",i,e.status,e.code()[:300],round(e.seconds,2),"TB" if "Traceback" in e.err else "", list(tmp_path.iterdir()))
        if e.status not in (0,2): print(e.err[-600:])
    assert 0
