#!/bin/sh
# The same PHOLD on other simulators' queues, one after the other on this machine:
#
#   benches/peers/phold.sh > peers.txt
#
# nexosim is fetched from crates.io and built in its own folder; Python needs nothing.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
python3 "$here/phold.py" 1000 100000
cargo run --quiet --release --manifest-path "$here/nexosim/Cargo.toml" -- 1000 100000
