# shellcheck shell=bash disable=SC2154 # the first steps have set it
while true; do
  "${agent[@]}"
  sleep 1
done &
