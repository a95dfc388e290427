#!/bin/sh
# Sound2Scene, figure 9: from what the model sees in a picture to what it hears in a sound.
set -eu
cd "$(dirname "$0")"
mkdir -p figures
pair() {
    picture=$1 sound=$2
    shift 2
    s2s interpolate "pictures/$picture.png" "sounds/$sound.wav" --steps 7 \
        -o "figures/09_${picture}_$sound.jpg" "$@"
}
pair sea crickets "$@"
pair birds storm "$@"
pair wind fire "$@"
