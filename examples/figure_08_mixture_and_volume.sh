#!/bin/sh
# Sound2Scene, figure 8: one sound gets louder while the other fades; and every volume of both.
set -eu
cd "$(dirname "$0")"
mkdir -p figures
for sound in birds dog; do
    s2s volume-sweep sounds/wind.wav --with "sounds/$sound.wav" --from -24 --to 12 --steps 7 \
        -o "figures/08_wind_$sound.jpg" "$@"
done
s2s volume-sweep sounds/sea.wav --with sounds/birds.wav --from -24 --to 12 --grid volume --steps 5 \
    -o figures/08_grid_sea_birds.jpg "$@"
