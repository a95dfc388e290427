#!/bin/sh
# Sound2Scene, figure 10: a new picture of a scene with the sound in it, halfway between the two;
# and below it the scene itself, edited by the same sound.
set -eu
cd "$(dirname "$0")"
mkdir -p figures
pair() {
    picture=$1 sound=$2
    shift 2
    s2s interpolate "pictures/$picture.png" "sounds/$sound.wav" --steps 3 \
        -o "figures/10_new_${picture}_$sound.jpg" "$@"
    s2s edit "pictures/$picture.png" "sounds/$sound.wav" --against "sounds/$picture.wav" --sweep 3 \
        -o "figures/10_edit_${picture}_$sound.jpg" "$@"
}
pair sea storm "$@"
pair wind fire "$@"
