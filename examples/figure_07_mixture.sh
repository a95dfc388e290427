#!/bin/sh
# Sound2Scene, figure 7: two sounds in one wave, from all of one to all of the other.
set -eu
cd "$(dirname "$0")"
mkdir -p figures
pair() {
    first=$1 second=$2
    shift 2
    s2s mix "sounds/$first.wav" "sounds/$second.wav" --sweep 7 \
        -o "figures/07_mixture_${first}_$second.jpg" "$@"
}
pair sea fire "$@"
pair birds wind "$@"
pair city rain "$@"
