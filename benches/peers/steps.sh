#!/bin/sh
# Training, mutual learning, generation, token alignment and Rouge-L in cotune, and in PyTorch, plain Python and rouge-score,
# side by side on one thread each, in processor time; writes steps.jsonl and steps.md into a folder.
#
#   PYTHON=python3 REPEATS=5 VOCABULARIES=target/vocabularies benches/peers/steps.sh benches/runs/2026-11-21-2core-avx512
#   PYTHON=python3 REPEATS=5 DEVICE=wgpu benches/peers/steps.sh benches/runs/2026-11-21-h200
#
# STEPS is the bench `steps` where it has been built already.
# PYTHON needs the packages torch, numpy and rouge-score, and takes edit distances from editdistance where that is there (all
# from PyPI).
# VOCABULARIES is a folder with llama.json and mistral.json (`vocabularies.sh` makes them): one is mapped into the other by edit
# distance, all of it by cotune, and by the peer a hundred of the tokens that the other lacks, from which the rest is
# extrapolated.
# DEVICE (wgpu, wgpu:N) has cotune compute on that adapter and PyTorch on PEER_DEVICE (cuda, cuda:N; none is no PyTorch at all).
# Time is then that of the clock, memory is left out, and so is what computes on no device: alignment, vocabularies, Rouge-L.
set -eu
out=${1:?the folder for the table}
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}
export DEVICE="${DEVICE:-cpu}"
if [ "$DEVICE" = cpu ]; then beside=cpu; else beside=cuda; fi
peer_device=${PEER_DEVICE:-$beside}
mkdir -p "$out"
binary=${STEPS:-$(cargo bench --workspace --no-run --bench steps 2>&1 | tee /dev/stderr | sed -n 's/.*benches\/steps.rs (\(.*\))/\1/p')}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$binary" texts > "$work/texts"
"$binary" tokens > "$work/tokens"

own() { "$binary" "$@" >> "$out/steps.jsonl"; }
peer() {
  if [ "$peer_device" != none ]; then
    DEVICE=$peer_device "$python" "$here/torch_steps.py" "$@" >> "$out/steps.jsonl"
  fi
}
: > "$out/steps.jsonl"
for repeat in $(seq "${REPEATS:-5}"); do
  for case in "full d64" "full d128" "full d256" "lora d64" "lora d128" "lora d256" "stacked d64" "stacked d128" \
    "mutual d128" "generate 1" "generate 16"; do
    # shellcheck disable=SC2086
    peer $case
    # shellcheck disable=SC2086
    own $case
  done
  own stack d64
  own stack d128
  if [ "$DEVICE" = cpu ]; then
    peer rouge "$work/texts"
    own rouge
    peer dtw "$work/tokens"
    own dtw
    if [ -n "${VOCABULARIES:-}" ]; then
      peer vocabulary "$VOCABULARIES/llama.json" "$VOCABULARIES/mistral.json"
      own vocabulary "$VOCABULARIES/llama.json" "$VOCABULARIES/mistral.json"
    fi
  fi
  own head d128
done
{
  if [ "$DEVICE" = cpu ]; then what="Processor time of one thread"; else what="Time by the clock"; fi
  echo "$what, medians over ${REPEATS:-5} processes a side that ran in turn."
  if [ "$peer_device" = none ]; then other="no PyTorch"; else other=$(DEVICE=$peer_device "$python" "$here/torch_steps.py" device); fi
  rust=$(rustc --version 2> /dev/null || echo "built elsewhere")
  echo "$(uname -m), $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1)."
  echo "Cotune on $("$binary" device), $rust; $other."
  echo
  "$python" "$here/torch_steps.py" table "$out/steps.jsonl"
} | tee "$out/steps.md"
