#!/bin/sh
# "Learning Visual Styles from Audio-Visual Associations", figures 5 and 6: pictures in the looks of
# sounds, and one of them from quiet to loud.
set -eu
cd "$(dirname "$0")"
mkdir -p figures
s2s stylize pictures/sea.png pictures/birds.png pictures/wind.png pictures/city.png \
    sounds/rain.wav sounds/snow.wav sounds/storm.wav sounds/fire.wav sounds/crickets.wav \
    --gain 6 --sheet -o figures/stylize "$@"
s2s stylize pictures/sea.png sounds/fire.wav --volume-sweep 7 -o figures/stylize/sea_fire.jpg "$@"
