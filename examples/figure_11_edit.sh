#!/bin/sh
# Sound2Scene, figure 11: a picture moved from its sound quiet to its sound loud, by inversion.
set -eu
cd "$(dirname "$0")"
mkdir -p figures
for picture in sea storm fire; do
    s2s edit "pictures/$picture.png" "sounds/$picture.wav" --sweep 5 --strength 1.6 \
        -o "figures/11_edit_$picture.jpg" "$@"
done
