#!/usr/bin/env bash
# tether.sh PIDFILE COMMAND...
# Runs COMMAND and ties its life to whoever holds the other end of our stdin: when that closes, because the test process
# ended in whatever way (a panic, kill -9), COMMAND is stopped. So no test leaves a process behind. The exit status is
# COMMAND's own.
set -u
pidfile=$1; shift
exec 3<&0
"$@" </dev/null 3<&- &
child=$!
printf '%s\n' "$child" >"$pidfile.new" && mv "$pidfile.new" "$pidfile"
(
  trap 'exit 0' TERM
  while read -r _ <&3; do :; done # builtin: nothing of ours outlives this shell
  kill "$child" 2>/dev/null
  for ((i = 0; i < 100; i++)); do kill -0 "$child" 2>/dev/null || exit 0; sleep 0.1; done
  kill -9 "$child" 2>/dev/null
) >/dev/null 2>&1 &
watcher=$!
exec 3<&-
wait "$child"; status=$?
kill "$watcher" 2>/dev/null
exit "$status"
