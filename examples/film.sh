#!/bin/sh
# A minute outdoors as a film: every sound here one after another, then what the pictures make of it.
set -eu
cd "$(dirname "$0")"
python3 - <<'PYTHON'
import glob
import wave

with wave.open("outdoors.wav", "wb") as whole:
    for path in sorted(glob.glob("sounds/*.wav")):
        with wave.open(path) as part:
            if not whole.getnframes():
                whole.setparams(part.getparams())
            whole.writeframes(part.readframes(part.getnframes()))
PYTHON
s2s film outdoors.wav --fps 8 --beat 0.3 "$@"
