# shellcheck shell=bash disable=SC2154 # the first steps have set it
"${agent[@]}" &
