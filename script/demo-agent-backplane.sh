# shellcheck shell=bash disable=SC2034,SC2154
# The part of script/demo for the stand-in agent only. script/demo sources it. The variables in capitals belong to all files of the demo.

WHAT_AGENT_NEEDS='the stand-ins'
TOOLS_OF_AGENT=()
PROGRAMS_OF_AGENT=("$CARGO_TARGET_DIR"/debug/{backplane,backplane-edge})
WHAT_IS_RELEASED=(
  'A build fetches the agent as an archive. Here, the archive contains the stand-in agent, and a server on 127.0.0.1 serves it.'
)
# The file name of the release, with the placeholders of BACKPLANE_AGENT_URL.
RELEASE_PATTERN='backplane-{channel}-{os}-{arch}.tgz'
AGENT_PROGRAM=backplane
LABELS=some=label
# Lines in the log of the edge.
CONNECTED='^backplane-edge: agent [0-9]+ connected'
RECONNECTED=' agent (1 is gone|2 connected)'
GONE='^backplane-edge: agent 2 is gone'
# How the answer of the edge begins while no agent is connected.
WITHOUT_AGENT='No agent with the labels some=label is connected'
CURL_OPTIONS=()

make_release() {
  run tar --create --gzip --file "releases/backplane-stable-linux-$ARCHITECTURE.tgz" --directory bin backplane
}

start_server() {
  step 'Start an edge, and add a route' \
    "The edge accepts requests from the public at one address, and agents at another. The route sends requests for $ENDPOINT" \
    'to the agents with the label some=label.'
  show_command 'bin/backplane-edge &'
  start edge bin/backplane-edge
  show_log edge '^(public|agents) '
  PUBLIC=$(sed -n 's/^public //p' log/edge)
  BACKPLANE_EDGE=$(sed -n 's/^agents //p' log/edge)
  export BACKPLANE_EDGE
  show_command "export BACKPLANE_EDGE=$BACKPLANE_EDGE"
  # shellcheck disable=SC2016 # the reader would type it like this
  show_command 'export $(bin/backplane generate env | grep TOKEN)'
  local token
  token=$(bin/backplane generate env | grep TOKEN) || fail 'the edge returns no token'
  export "${token?}"
  show_command "bin/backplane route $ENDPOINT \"some=label\""
  bin/backplane route "$ENDPOINT" 'some=label' | indent
  VARIABLES_OF_AGENT=("BACKPLANE_EDGE=$BACKPLANE_EDGE" "BACKPLANE_TOKEN=$BACKPLANE_TOKEN" "BACKPLANE_LABELS=$LABELS")
}
