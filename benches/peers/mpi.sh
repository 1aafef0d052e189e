#!/bin/sh
# Two single-threaded MPI ranks beside one process of two threads on the same run, in turn; writes mpi.md into a folder.
#
#   COTUNE=target/release/cotune COTUNE_MPI=target/cotune-mpi REPEATS=5 benches/peers/mpi.sh benches/runs/2026-11-21-2core-avx512
#
# COTUNE_MPI is a cotune built with `--features mpi` (`cotune help run` says how to start it). SCENARIO and ARGS name another run.
set -eu
out=${1:?the folder for the table}
threads=${COTUNE:-target/release/cotune}
ranks=${COTUNE_MPI:?a cotune built with --features mpi}
scenario=${SCENARIO:-scenarios/quickstart.toml}
repeats=${REPEATS:-5}
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The seconds from start to end of a command, all of it: start-up, learning, tables, report.
seconds() {
  begun=$(date +%s.%N)
  "$@" > "$work/run"
  echo "$(date +%s.%N) $begun" | awk '{ printf "%.2f\n", $1 - $2 }'
}
for repeat in $(seq "$repeats"); do
  # shellcheck disable=SC2086
  seconds "$threads" run "$scenario" ${ARGS:-} -q -j 2 --runs "$work/threads" >> "$work/threads.s"
  # shellcheck disable=SC2086
  seconds mpirun --allow-run-as-root --oversubscribe --bind-to none -n 2 \
    "$ranks" run "$scenario" ${ARGS:-} -q -j 1 --runs "$work/ranks" >> "$work/ranks.s"
done
digests() { sed -n 's/^ *"digest": "\([0-9a-f]*\)".*/\1/p' "$work/$1"/*/summary.json | sort -u; }
[ "$(digests threads)" = "$(digests ranks)" ] || { echo "the digests differ" >&2; exit 1; }
median() { sort -n "$1" | awk '{ s[NR] = $1 } END { print (NR % 2) ? s[(NR + 1) / 2] : (s[NR / 2] + s[NR / 2 + 1]) / 2 }'; }
{
  echo "# Two MPI ranks and two threads"
  echo
  echo "\`$scenario${ARGS:+ $ARGS}\`, wall clock from start to end, medians of $repeats runs a side that took turns. $(mpirun --version | head -n 1);"
  echo "$(nproc) cores of $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1). All runs have the digest $(digests threads | cut -c 1-12)…"
  echo
  echo "| way | seconds | throughput |"
  echo "|---|---|---|"
  t=$(median "$work/threads.s") r=$(median "$work/ranks.s")
  echo "| one process, \`-j 2\` | $t | 1 |"
  echo "| \`mpirun -n 2 … -j 1\` | $r | $(echo "$t $r" | awk '{ printf "%.2f", $1 / $2 }') |"
} | tee "$out/mpi.md"
