# shellcheck shell=bash disable=SC2034,SC2154
# The part of script/demo for the classic buildpack only. script/demo sources it. The variables in capitals belong to both files.

WHAT_IS_BUILT='the classic buildpack'
TOOLS_OF_FRONT_END=()
# The directory of the app's config vars, with one file for each, as Heroku passes it to a build.
VARIABLES=config-vars
AGENT_DIRECTORY=dyno/app/.backplane
WHERE_THE_AGENT_IS='in the slug, and in the cache for the next build'

make_front_end() {
  mkdir cache dyno config-vars
  assemble_classic bin buildpack
  grep --invert-match '^#' app/processes >app/Procfile
  rm app/processes
  # The commands that a dyno's shell runs before the process.
  cat >start-dyno <<'END'
cd
for script in .profile.d/*.sh; do source "$script"; done
exec bash -c "$1"
END
}

introduce_build() {
  step 'Build the app' \
    'The sample app has two processes. Heroku would call two programs of the buildpack. It passes three directories to compile: the app,' \
    'the cache, and one with a file for each config var. The config vars set where the agent is, and which checksum its archive must' \
    'have (it is "pinned"). The slug then runs from another directory than the one in which it was built.'
  run cat app/Procfile
}

run_build() {
  run rm -rf build dyno/app
  run cp --recursive app build
  run buildpack/bin/detect build
  run buildpack/bin/compile build cache config-vars
  run mv build dyno/app
  run cat dyno/app/.profile.d/backplane.sh
}

restore_cache() {
  # The cache is still in its place.
  true
}

introduce_launch() {
  step 'Launch the app' \
    'On a dyno, a shell reads the scripts in .profile.d, and then becomes the process. Our script runs our program, which starts a' \
    'supervisor and exits. Once the app listens, on 127.0.0.1 only, the supervisor starts the agent.'
  cat >dyno.env <<END
PATH=/usr/local/bin:/usr/bin:/bin
HOME=$DEMO/dyno/app
STACK=heroku-24
$(printf '%s\n' "${VARIABLES_OF_AGENT[@]}")
END
  run cat dyno.env start-dyno
}

# launch TYPE VARIABLE…: launches a process type of the Procfile, in the environment of a dyno.
launch() {
  local type=$1 command variables
  shift
  command=$(sed -n "s/^$type: //p" dyno/app/Procfile)
  mapfile -t variables <dyno.env
  # shellcheck disable=SC2016 # the reader would type it like this
  show_command 'env -i $(cat dyno.env) '"DYNO=$type.1 $* bash start-dyno '$command' &"
  start "$type" env -i "${variables[@]}" "DYNO=$type.1" "$@" bash start-dyno "$command"
}
