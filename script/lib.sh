# shellcheck shell=bash
# Functions that the scripts of this directory share. They source this file:
#
#   source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
#
# It changes to the repository's root, so that all paths in the scripts are relative to it.

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
# The absolute path of the running script, because the working directory changes.
SELF="$ROOT/script/${0##*/}"
cd "$ROOT"

# All build output is below target/, whatever the caller's own cargo settings are, because the scripts and the tests look for it there.
export CARGO_TARGET_DIR="$ROOT/target"
TOOLS="$ROOT/target/tools"
# shellcheck disable=SC2034 # read by the scripts that source this file
LIFECYCLE="$TOOLS/lifecycle"
# cargo finds its subcommand `libcnb` here, and script/test finds pack.
export PATH="$TOOLS/bin:$PATH"

# The default toolchain of a machine may be the pinned Rust version under another name, and the machine may be unable to install it again.
pinned_rust=$(sed -n 's/^channel = "\(.*\)"$/\1/p' rust-toolchain.toml)
if [[ -z ${RUSTUP_TOOLCHAIN:-} ]] && command -v rustup >/dev/null && ! rustup toolchain list | grep -q "^$pinned_rust"; then
  default_rust=$(cd / && rustup show active-toolchain 2>/dev/null | cut -d ' ' -f 1) || default_rust=''
  if [[ $default_rust && $(RUSTUP_TOOLCHAIN=$default_rust rustc --version) == "rustc $pinned_rust "* ]]; then
    export RUSTUP_TOOLCHAIN=$default_rust
  fi
fi
unset pinned_rust default_rust

# The user for tests and demos that root starts, because the lifecycle refuses root. A number needs no entry in /etc/passwd. If 65534 has
# an entry, it is `nobody`.
# shellcheck disable=SC2034
ORDINARY_UID=65534

if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
  BOLD=$'\e[1m' RED=$'\e[31m' RESET=$'\e[0m'
else
  BOLD='' RED='' RESET=''
fi

# say WORDS…: prints one line that reports what happens now.
say() {
  printf '%s%s%s\n' "$BOLD" "$*" "$RESET"
}

# complain WORDS…: prints one line on stderr. The script continues.
complain() {
  printf '%s%s: %s%s\n' "$RED" "${0##*/}" "$*" "$RESET" >&2
}

# die WORDS…: reports what is wrong and what to do, and ends the script.
die() {
  complain "$@"
  exit 1
}

# have PROGRAM: succeeds if PROGRAM can be run by its name.
have() {
  command -v "$1" >/dev/null 2>&1
}

# apt_install WHAT PACKAGE…: installs Debian packages because WHAT is missing. If that is not possible here, it prints how to do it.
apt_install() {
  local missing=$1
  shift
  if ! have apt-get; then
    die "missing: $missing; install it with your system's package manager (on Debian, it is in: $*)"
  elif ((EUID != 0)); then
    die "missing: $missing; install it with: sudo apt-get install --no-install-recommends $*"
  fi
  say "Installing Debian packages: $*"
  # The package lists of a fresh container are empty or old. The script fetches them only if they are needed.
  DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends "$@" >/dev/null 2>&1 ||
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends "$@" >/dev/null; } ||
    die "apt-get was unable to install $*; its error is above"
}

# apt_install_missing PROGRAM PACKAGE PROGRAM PACKAGE…: installs the package of each program that cannot be run.
apt_install_missing() {
  local missing=() packages=()
  while (($#)); do
    if ! have "$1"; then
      missing+=("$1")
      packages+=("$2")
    fi
    shift 2
  done
  ((${#missing[@]} == 0)) || apt_install "${missing[*]}" "${packages[@]}"
}

# alone LOCKFILE ARGUMENT…: restarts the running script, with ARGUMENTs, under a lock that only one run holds at a time. It does not return.
# In the run that holds the lock, it does nothing. The lock ends with the script, however the script ends. Processes that the script starts
# do not inherit the lock.
alone() {
  local lock=$1
  shift
  if [[ ${HELD_LOCK:-} != "$lock" ]]; then
    mkdir -p "$(dirname "$lock")"
    HELD_LOCK=$lock exec flock --close "$lock" "$SELF" "$@"
  fi
  unset HELD_LOCK
}

# arch_of MACHINE: prints an architecture's name in images, from the kernel's name.
arch_of() {
  case $1 in
    x86_64) printf 'amd64\n' ;;
    aarch64) printf 'arm64\n' ;;
    *) die "there is no package for $1 machines, only for x86_64 (amd64) and aarch64 (arm64)" ;;
  esac
}

# musl_target ARCH: prints the target triple of static programs for an architecture.
musl_target() {
  case $1 in
    amd64) printf 'x86_64-unknown-linux-musl\n' ;;
    arm64) printf 'aarch64-unknown-linux-musl\n' ;;
  esac
}

# has_target TRIPLE: succeeds if Rust can build for TRIPLE.
has_target() {
  [[ -d $(rustc --print sysroot)/lib/rustlib/$1 ]]
}

# static_target: prints the target triple for packaging: this machine's own, with musl if Rust and a linker have it.
static_target() {
  local machine
  machine=$(uname -m)
  if has_target "$machine-unknown-linux-musl" && have musl-gcc; then
    printf '%s-unknown-linux-musl\n' "$machine"
  else
    printf '%s-unknown-linux-gnu\n' "$machine"
  fi
}

# build_static TARGET PACKAGE PROFILE: builds the programs of a package of the workspace, static and for TARGET, and prints their directory.
build_static() {
  local target=$1 machine=${1%%-*} variable=${1//-/_}
  # musl is static by default. Only this call gets the flag: as a setting for all of cargo, it breaks every call without --target.
  [[ $target == *-musl ]] || local -x RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static"
  if [[ $machine != "$(uname -m)" ]]; then
    # The linker, and the compiler of the TLS library's C code.
    local -x "CARGO_TARGET_${variable^^}_LINKER=$machine-linux-gnu-gcc" "CC_$variable=$machine-linux-gnu-gcc"
  fi
  cargo build --locked --package "$2" --bins --profile "$3" --target "$target" && printf '%s\n' "$CARGO_TARGET_DIR/$target/$3"
}

# assemble_backplane PROGRAMS DIRECTORY: puts the Cloud Native Buildpack together in DIRECTORY, from its programs in PROGRAMS.
assemble_backplane() {
  assemble_cnb "$1" "$ROOT" "$2" backplane-buildpack launch
  install_agents "$2"
}

# assemble_cnb PROGRAMS SOURCE DIRECTORY NAME OTHER: puts a buildpack together in DIRECTORY, in the layout of `cargo libcnb package`: with the
# descriptor in SOURCE, the program NAME, which is both detect and build, and the program OTHER, which libcnb looks for below .libcnb-cargo.
assemble_cnb() {
  local programs=$1 source=$2 directory=$3 name=$4 other=$5
  rm -rf "$directory"
  install -D --mode=755 "$programs/$name" "$directory/bin/build"
  ln -s build "$directory/bin/detect"
  install -D --mode=755 "$programs/$other" "$directory/.libcnb-cargo/additional-bin/$other"
  install --mode=644 "$source/buildpack.toml" "$directory"
}

# assemble_classic PROGRAMS DIRECTORY: puts the classic buildpack together in DIRECTORY, from the same programs.
assemble_classic() {
  rm -rf "$2"
  mkdir -p "$2/bin" "$2/lib"
  install --mode=755 "$ROOT"/classic/bin/* "$2/bin"
  install --mode=755 "$1/backplane-buildpack" "$2/bin/compile"
  install --mode=755 "$1/launch" "$2/lib"
  install_agents "$2"
  # compile reads there where each agent comes from.
  install --mode=644 "$ROOT/buildpack.toml" "$ROOT/LICENSE" "$2"
}

# install_agents DIRECTORY: copies the agents that are installed by name into DIRECTORY.
install_agents() {
  local file mode
  for file in "$ROOT"/agents/*/*; do
    mode=644
    [[ $file != */backplane ]] || mode=755
    install -D --mode="$mode" "$file" "$1/${file#"$ROOT/"}"
  done
}

# buildpack_field NAME DIRECTORY: prints the id or the version of the buildpack in DIRECTORY. They are at the beginning of its descriptor, and
# other tables may have fields with the same names.
buildpack_field() {
  sed -n "/^$1 = \"\(.*\)\"\$/ { s//\1/p; q }" "$2/buildpack.toml"
}

# make_branch ARCHIVE REPOSITORY: makes a bare repository whose branch `classic` has the files of the classic buildpack's archive, for Heroku
# to clone. Both paths are absolute. The same archive makes the same commit, whoever makes it, and however git is configured there.
make_branch() (
  files=$2.files
  unset "${!GIT_@}"
  export GIT_DIR=$2.new GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 GIT_ATTR_NOSYSTEM=1 XDG_CONFIG_HOME=/dev/null
  export GIT_{AUTHOR,COMMITTER}_NAME=Backplane GIT_{AUTHOR,COMMITTER}_EMAIL='' GIT_{AUTHOR,COMMITTER}_DATE='@0 +0000'
  # Joined, because callers that check the result turn off the shell's own check of each command.
  rm -rf "$GIT_DIR" "$files" &&
    mkdir -p "$files" &&
    tar --extract --file "$1" --directory "$files" --no-same-owner --preserve-permissions &&
    git init --quiet --bare --template= --initial-branch=classic --object-format=sha1 &&
    git --work-tree="$files" -C "$files" add --all --force . &&
    tree=$(git write-tree) &&
    commit=$(git commit-tree -m "$(buildpack_field id "$files") $(buildpack_field version "$files") for Heroku's classic API" "$tree") &&
    git update-ref refs/heads/classic "$commit" &&
    rm -rf "$2" "$files" "$GIT_DIR/index" &&
    mv "$GIT_DIR" "$2"
)

# print_help: prints the comment block at the head of the running script, without its marks.
print_help() {
  sed -n '2,/^[^#]/ { s/^# \{0,1\}//p }' "$SELF"
}
