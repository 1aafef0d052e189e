#!/bin/sh
# Training, mutual learning, generation and Rouge-L in cotune and in PyTorch and rouge-score, side by side on one thread each,
# in processor time; writes steps.jsonl and steps.md into a folder.
#
#   PYTHON=python3 REPEATS=5 benches/peers/steps.sh benches/runs/2026-11-21-2core-avx512
#
# STEPS is the bench `steps` where it has been built already.
# PYTHON needs the packages torch, numpy and rouge-score (from PyPI).
set -eu
out=${1:?the folder for the table}
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}
mkdir -p "$out"
binary=${STEPS:-$(cargo bench --workspace --no-run --bench steps 2>&1 | tee /dev/stderr | sed -n 's/.*benches\/steps.rs (\(.*\))/\1/p')}
"$binary" texts > "$out/texts.txt"
: > "$out/steps.jsonl"
for repeat in $(seq "${REPEATS:-5}"); do
  for case in "full d64" "full d128" "full d256" "lora d64" "lora d128" "lora d256" "stacked d64" "stacked d128" \
    "mutual d128" "generate 1" "generate 16"; do
    # shellcheck disable=SC2086
    "$python" "$here/torch_steps.py" $case >> "$out/steps.jsonl"
    # shellcheck disable=SC2086
    "$binary" $case >> "$out/steps.jsonl"
  done
  "$binary" stack d64 >> "$out/steps.jsonl"
  "$binary" stack d128 >> "$out/steps.jsonl"
  "$python" "$here/torch_steps.py" rouge "$out/texts.txt" >> "$out/steps.jsonl"
  "$binary" rouge >> "$out/steps.jsonl"
  "$binary" head d128 >> "$out/steps.jsonl"
done
rm "$out/texts.txt"
{
  echo "Processor time of one thread, medians over ${REPEATS:-5} processes a side that ran in turn."
  echo "$(uname -m), $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1); $("$python" -c 'import torch; print("PyTorch", torch.__version__)'), $(rustc --version)."
  echo
  "$python" "$here/torch_steps.py" table "$out/steps.jsonl"
} | tee "$out/steps.md"
