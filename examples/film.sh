#!/bin/sh
# Every sound here one after another, and the film that the pictures make of them: outdoors.mp4, in
# the folder where you are.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
sound=$(mktemp -d)/outdoors.wav
trap 'rm -rf "$(dirname "$sound")"' EXIT
python3 - "$here" "$sound" <<'PYTHON'
import sys
import wave
from pathlib import Path

with wave.open(sys.argv[2], "wb") as whole:
    for number, path in enumerate(sorted(Path(sys.argv[1], "sounds").glob("*.wav"))):
        with wave.open(str(path)) as part:
            if number == 0:
                whole.setparams(part.getparams())
            whole.writeframes(part.readframes(part.getnframes()))
PYTHON
s2s film "$sound" --fps 8 --beat 0.3 "$@"
