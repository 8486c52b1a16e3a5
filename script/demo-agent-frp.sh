# shellcheck shell=bash disable=SC2034,SC2154
# The part of script/demo for frp as the agent only. script/demo sources it. The variables in capitals belong to all files of the demo.

WHAT_AGENT_NEEDS='frp'
TOOLS_OF_AGENT=(frp)
PROGRAMS_OF_AGENT=("$TOOLS"/bin/{frpc,frps})
WHAT_IS_RELEASED=(
  "A build fetches the release of frp's own project. Here, it has the same layout, but the frp that script/bootstrap has built, and a server"
  'on 127.0.0.1 serves it.'
)
# The file name of the release, with the placeholders of BACKPLANE_AGENT_URL.
RELEASE_PATTERN='frp_{version}_{os}_{arch}.tar.gz'
AGENT_PROGRAM=frpc
# The default for this agent.
LABELS=agent=frp
# Lines in the log of the server.
CONNECTED='new proxy .* success'
RECONNECTED='new proxy .* success|client exit success'
GONE='client exit success'
# How the error of curl begins while no agent is connected.
WITHOUT_AGENT='curl: (22) The requested URL returned error: 404'
CURL_OPTIONS=(--fail)

make_release() {
  local name
  name=frp_$(bin/frpc --version)_linux_$ARCHITECTURE
  run mkdir "$name"
  run cp bin/frpc bin/frps "$name"
  run touch "$name/frpc.toml" "$name/frps.toml" "$name/LICENSE"
  run tar --create --gzip --file "releases/$name.tar.gz" "$name"
  printf frp >"$VARIABLES/BACKPLANE_AGENT"
}

start_server() {
  step "Start frp's server" \
    "The server accepts requests from the public at one address, and agents at another. It sends requests for $ENDPOINT to the agents" \
    'with this domain.'
  local token=$RANDOM$RANDOM port public command
  port=$(free_port)
  public=$(free_port)
  command=(
    bin/frps --bind-addr 127.0.0.1 --bind-port "$port" --proxy-bind-addr 127.0.0.1 --vhost-http-port "$public" --token "$token"
    --disable-log-color
  )
  show_command "${command[*]} &"
  start edge "${command[@]}"
  show_log edge 'frps started successfully'
  PUBLIC=127.0.0.1:$public
  VARIABLES_OF_AGENT=(
    "BACKPLANE_TOKEN=$token"
    BACKPLANE_FRP_SERVER=127.0.0.1
    "BACKPLANE_FRP_PORT=$port"
    "BACKPLANE_FRP_DOMAIN=$ENDPOINT"
  )
}
