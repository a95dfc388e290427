#!/bin/sh
# Sound2Scene, figure 6: one sound from quiet to loud, painted with one noise.
set -eu
cd "$(dirname "$0")"
mkdir -p figures
for sound in sea fire wind storm; do
    s2s volume-sweep "sounds/$sound.wav" --from -24 --to 12 --steps 7 \
        -o "figures/06_volume_$sound.jpg" "$@"
done
