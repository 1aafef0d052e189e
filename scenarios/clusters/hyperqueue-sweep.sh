#!/bin/bash
# One task of HyperQueue runs one point of a sweep, on whatever workers there are:
#
#   scenarios/clusters/hyperqueue-sweep.sh my-sweep.toml
#
# Running it again submits all points and runs what is missing; a point that was cut goes on from its last checkpoint.
set -euo pipefail

sweep=${1:?name the sweep, such as scenarios/sweeps/quickstart-methods.toml}
shift
runs=${COTUNE_RUNS:-runs}
points=$(cotune sweep "$sweep" --count "$@")
if [ "$points" -eq 0 ]; then
    echo "$sweep has no points" >&2
    exit 2
fi
exec hq submit --array "0-$((points - 1))" --cpus 4 --crash-limit 5 --name cotune-sweep -- \
    cotune sweep "$sweep" --point env --threads 4 --runs "$runs" -q "$@"
