# shellcheck shell=bash disable=SC2034,SC2154
# The part of script/demo for chisel as the agent only. script/demo sources it. The variables in capitals belong to all files of the demo.

WHAT_AGENT_NEEDS='chisel'
TOOLS_OF_AGENT=(chisel)
PROGRAMS_OF_AGENT=("$TOOLS/bin/chisel")
WHAT_IS_RELEASED=(
  "A build fetches the release of chisel's own project, which is the program alone, compressed. Here, it is the chisel that"
  'script/bootstrap has built, and a server on 127.0.0.1 serves it.'
)
# The file name of the release, with the placeholders of BACKPLANE_AGENT_URL.
RELEASE_PATTERN='chisel_{version}_{os}_{arch}.gz'
AGENT_PROGRAM=chisel
# The default for this agent.
LABELS=agent=chisel
# Lines in the log of the server.
CONNECTED='session#[0-9]+: tun: proxy#R:.* Listening'
RECONNECTED='session#[0-9]+: (tun: proxy#R:.* Listening|Closed connection)'
GONE='session#[0-9]+: Closed connection'
# How the error of curl begins while no agent is connected.
WITHOUT_AGENT='curl: (7) '
CURL_OPTIONS=()

make_release() {
  local name
  name=chisel_$(bin/chisel --version)_linux_$ARCHITECTURE
  run cp bin/chisel "releases/$name"
  run gzip "releases/$name"
  printf chisel >"$VARIABLES/BACKPLANE_AGENT"
}

start_server() {
  step "Start chisel's server" \
    'The server accepts agents at one address. While an agent is connected, the server also listens at the address that this agent' \
    'requests, and forwards the connections to it.'
  local token=demo:$RANDOM$RANDOM port command
  port=$(free_port)
  PUBLIC=127.0.0.1:$(free_port)
  command=(env "AUTH=$token" bin/chisel server --host 127.0.0.1 --port "$port" --reverse -v)
  show_command "${command[*]} &"
  start edge "${command[@]}"
  show_log edge 'Listening on'
  VARIABLES_OF_AGENT=(
    "BACKPLANE_TOKEN=$token"
    "BACKPLANE_CHISEL_SERVER=http://127.0.0.1:$port"
    "BACKPLANE_CHISEL_REMOTE=$PUBLIC"
  )
}
