# shellcheck shell=bash disable=SC2034,SC2154
# The part of script/demo for the Cloud Native Buildpack only. script/demo sources it. The variables in capitals belong to both files.

WHAT_IS_BUILT='the lifecycle (which pack runs during a build), the buildpack'
TOOLS_OF_FRONT_END=(lifecycle)
# The directory of a build's variables, with one file for each, as pack makes it from --env.
VARIABLES=platform/env
AGENT_DIRECTORY=layers/backplane_agent/agent
WHERE_THE_AGENT_IS='in a layer of its own, to be kept for the next build'

make_front_end() {
  mkdir --parents buildpacks layers platform/env
  cp --recursive "$LIFECYCLE" lifecycle
  add_buildpack "$ROOT/tests/fixtures/buildpacks/processes"
  assemble_backplane bin backplane_agent
  add_buildpack backplane_agent
}

# add_buildpack DIRECTORY: copies a buildpack to the place where the lifecycle looks for it, and adds it at the end of the order.
add_buildpack() {
  local id version
  id=$(buildpack_field id "$1")
  version=$(buildpack_field version "$1")
  mkdir "buildpacks/${id//\//_}"
  cp --recursive "$1" "buildpacks/${id//\//_}/$version"
  [[ -e order.toml ]] || printf '[[order]]\n' >order.toml
  printf '[[order.group]]\nid = "%s"\nversion = "%s"\n' "$id" "$version" >>order.toml
}

introduce_build() {
  step 'Build the app' \
    'The sample app has two processes. Two buildpacks build it: one that declares the processes, and ours. Variables set where the agent' \
    'is, and which checksum its archive must have (it is "pinned").'
  run grep --invert-match '^#' app/processes
}

run_build() {
  local options=(-no-color -app app -buildpacks buildpacks -layers layers -platform platform)
  # In a real build, earlier phases read this from the registry.
  "${AS_USER[@]}" tee layers/analyzed.toml >/dev/null <<END
[run-image]
reference = "run-image"
[run-image.target]
os = "linux"
arch = "$ARCHITECTURE"
[run-image.target.distro]
name = "ubuntu"
version = "24.04"
END
  export CNB_PLATFORM_API=0.12
  run lifecycle/detector "${options[@]}" -order order.toml
  run lifecycle/builder "${options[@]}"
}

restore_cache() {
  printf '\nIn a real build, the lifecycle would restore the cached layers and the metadata of the buildpack. Here, they are still in place.\n'
  printf 'Only the types of the layers have to be removed, because each build sets them again.\n'
  run sed --in-place '/^\[types\]/,/^$/d' layers/backplane_agent/agent.toml
  run rm -rf layers/config layers/fixture_processes layers/group.toml layers/plan.toml
}

introduce_launch() {
  step 'Launch the app' \
    'A container would run /cnb/process/web, which is the launcher under that name. The launcher first runs our program, which starts' \
    'a supervisor and exits. Once the app listens, on 127.0.0.1 only, the supervisor starts the agent.'
  cat >container.env <<END
PATH=/usr/local/bin:/usr/bin:/bin
CNB_PLATFORM_API=0.12
CNB_APP_DIR=$DEMO/app
CNB_LAYERS_DIR=$DEMO/layers
$(printf '%s\n' "${VARIABLES_OF_AGENT[@]}")
END
  run cat container.env
}

# launch TYPE VARIABLE…: launches a process type, in the environment of a container.
launch() {
  local type=$1 variables
  shift
  mapfile -t variables <container.env
  # shellcheck disable=SC2016 # the reader would type it like this
  show_command 'env -i $(cat container.env) '"$* bash -c 'exec -a /cnb/process/$type lifecycle/launcher' &"
  start "$type" env -i "${variables[@]}" "$@" bash -c "exec -a /cnb/process/$type lifecycle/launcher"
}
