#!/bin/sh
# Runs every fuzz target, or those named in TARGETS, for N executions (default 5,000,000) over its seeds, one
# process at a time. Prints for each how many executions were made and whether there was a finding.
#
#   fuzz/run.sh [N]
#   TARGETS="pair close_payload" fuzz/run.sh 100000
set -u
cd "$(dirname "$0")" || exit 2
runs=${1:-5000000}
targets=${TARGETS:-$(cargo +nightly fuzz list)}
failed=0
for target in $targets; do
    mkdir -p "corpus/$target" artifacts
    log=artifacts/$target.log
    # Operations are slow, and short inputs reach as much, and sooner: those of `pair` are a byte or two each. What compresses or
    # decompresses compares all the time, and to trace that takes most of the time.
    longest=4096 options=
    case $target in
        pair) longest=48 ;;
        deflate | server_deflate | server_inflate) longest=512 options=--no-trace-compares ;;
    esac
    if cargo +nightly fuzz run --sanitizer none $options "$target" "corpus/$target" "seeds/$target" -- \
        -runs="$runs" -max_len=$longest -len_control=100 -timeout=60 -print_final_stats=1 >"$log" 2>&1; then
        result="no finding"
    else
        result="FAILED, see fuzz/$log"
        failed=1
    fi
    echo "$target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") executions, $result"
done
exit $failed
