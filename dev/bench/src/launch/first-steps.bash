# shellcheck shell=bash
# What an exec.d script in bash has to do before it can start an agent, by bash's own means only: each other program takes longer than
# all of this.
layer=${0%/exec.d/*}

# has_word LIST WORD: whether a list, separated by commas or spaces, has the word.
has_word() {
  [[ " ${1//,/ } " == *" $2 "* ]]
}

type=${DYNO%%[.-]*}
if [[ -z $type ]]; then
  IFS= read -r -d '' argv0 <"/proc/$PPID/cmdline"
  [[ $argv0 != */cnb/process/* ]] || type=${argv0##*/}
fi
[[ -n $type ]] || exit 0
! has_word "$BACKPLANE_IGNORE_PROCESS_TYPE" "$type" || exit 0
[[ -z $BACKPLANE_PROCESS_ALLOW ]] || has_word "$BACKPLANE_PROCESS_ALLOW" "$type" || exit 0
if [[ -z $BACKPLANE_TOKEN || -z $BACKPLANE_LABELS || -z $PORT ]]; then
  echo "BACKPLANE_TOKEN, BACKPLANE_LABELS or PORT is not set" >&2
  exit 0
fi

# The launcher waits for the end of descriptor 3.
exec 3>&- </dev/null
# shellcheck disable=SC2034 # it is for what follows these steps
agent=("$layer/libexec/backplane" connect "$BACKPLANE_LABELS" "http://127.0.0.1:$PORT")

