# shellcheck shell=bash
# The CNB builder of the tests on a Docker engine, for script/engine. Scripts source this file, and never run it.
#
# Its base images are those of heroku/builder:24 or heroku/builder:26, or local ones in the same shape. Its buildpacks are those of the
# tests, and its lifecycle is the one that dev/tools/ pins. So all tests run on all base images, and no test needs a network for what an app
# would need. A second run image has servers of the distribution, such as nginx, for apps that such a server runs.

# The directory of everything that is kept between runs.
# shellcheck disable=SC2153 # lib.sh sets it
STATE="$ROOT/target/docker"
# The number in the name of Heroku's builder.
HEROKU=${BACKPLANE_TEST_HEROKU:-24}
HEROKU_BUILDER=heroku/builder:$HEROKU
HEROKU_RUN_IMAGE=heroku/heroku:$HEROKU
# The file that names the base images: `heroku` or `local`.
CHOICE="$STATE/base-images-$HEROKU"
# The configuration of the builder, for pack and for tests that make another builder. Its paths are absolute.
BUILDER_CONFIG="$STATE/builder/builder.toml"
# The packages of the servers in the second run image.
SERVERS='busybox default-jre-headless dumb-init gunicorn haproxy nginx nodejs puma python3 ruby tini'

# The users of Heroku's base images (<https://github.com/heroku/base-images>): in heroku-24, one user builds an image, and another one runs
# it. In heroku-26, one user does both.
readonly GROUP_ID=1000
case $HEROKU in
  24) readonly RUN_USER_ID=1001 BUILD_USER_ID=1002 ;;
  26) readonly RUN_USER_ID=1000 BUILD_USER_ID=1000 ;;
  *) die "BACKPLANE_TEST_HEROKU is '$HEROKU', but must be 24 or 26; set it to one of them, or unset it for 24" ;;
esac

# choose_builder: decides which base images to use, with an engine that answers. It tries a pull only once. With Heroku's
# images, it also makes servers.tar, because only this engine is sure to have a network.
choose_builder() {
  if has_image "$HEROKU_BUILDER" && has_image "$HEROKU_RUN_IMAGE"; then
    echo heroku >"$CHOICE"
  elif ! [[ -s $CHOICE && $(<"$CHOICE") == local ]]; then
    say "Pulling $HEROKU_BUILDER"
    if timeout 900 docker pull --quiet "$HEROKU_BUILDER" && timeout 900 docker pull --quiet "$HEROKU_RUN_IMAGE"; then
      echo heroku >"$CHOICE"
    else
      say 'Unable to pull it; making base images in its shape here'
      echo local >"$CHOICE"
    fi
  fi
  [[ $(<"$CHOICE") == local ]] || make_servers install_with_docker
}

has_image() {
  docker image inspect "$1" >/dev/null 2>&1
}

# make_base: makes base.tar, a file system of the Debian or Ubuntu release that runs here, from this machine's package source. On an older
# Debian, it is Debian 13, because the engine of Debian 12 is from 2020, and the engine is installed into this file system too.
make_base() {
  local release mirror key
  # shellcheck disable=SC1091 # the file is the machine's
  release=$(source /etc/os-release && echo "$VERSION_CODENAME")
  have apt-get || die "a builder can be made only on Debian or Ubuntu; pull $HEROKU_BUILDER and $HEROKU_RUN_IMAGE, and remove $CHOICE"
  # shellcheck disable=SC2016 # apt's variables
  mirror=$(apt-get indextargets --format '$(CODENAME) $(REPO_URI)' 'Created-By: Packages' | sed -n "s/^$release //p" | head -n 1)
  [[ $mirror ]] || die "apt has no source for $release, which the builder's base images need; add it to /etc/apt/sources.list.d"
  [[ $release != @(bullseye|bookworm) ]] || release=trixie
  key="$release $mirror $(declare -f bootstrap_base)"
  [[ -e $STATE/base.tar && $(<"$STATE/base.key") == "$key" ]] && return
  ((EUID == 0)) || die "only root can make a builder; pull $HEROKU_BUILDER and $HEROKU_RUN_IMAGE, and remove $CHOICE, or run this once as root"

  apt_install_missing debootstrap debootstrap
  say "Making a file system of $release (a minute or two, once)"
  in_namespaces --mount -- bootstrap_base "$release" "$mirror"
  printf '%s\n' "$key" >"$STATE/base.key"
}

# bootstrap_base RELEASE MIRROR: the part of make_base that runs in its own mount namespace.
bootstrap_base() {
  local root="$STATE/base"
  rm -rf "$root"
  debootstrap --variant=minbase --include=ca-certificates "$1" "$root" "$2" >"$STATE/debootstrap.log" 2>&1 ||
    die "debootstrap failed; the reason is in ${STATE#"$ROOT/"}/debootstrap.log"
  # The users of both shapes, so that one file system serves both.
  cat >>"$root/etc/passwd" <<END
heroku:x:1001:$GROUP_ID::/app:/bin/bash
heroku-build:x:1002:$GROUP_ID::/tmp:/bin/bash
heroku-26:x:1000:$GROUP_ID::/tmp:/bin/bash
END
  printf 'heroku:x:%s:\n' "$GROUP_ID" >>"$root/etc/group"
  # Docker 28 takes an absolute link for an escape from the image.
  ln -sfn ../run "$root/var/run"
  rm -rf "$root"/var/{cache,lib}/apt "$root"/usr/share/{doc,info,locale,man}
  tar --create --file "$STATE/base.tar.new" --numeric-owner --exclude './dev/*' --directory "$root" .
  rm -rf "$root"
  mv "$STATE/base.tar.new" "$STATE/base.tar"
}

# make_archives: makes base.tar and servers.tar. The base images are imported from them if Heroku's images cannot be pulled.
make_archives() {
  make_base
  make_servers install_without_docker
}

# make_servers INSTALL: makes servers.tar, the file system of the run image with servers installed. INSTALL is install_with_docker or
# install_without_docker.
make_servers() {
  if has_servers; then return; fi
  say 'Installing servers into a run image (half a minute, once)'
  "$1" "$(declare -f install_packages); install_packages $SERVERS" >"$STATE/servers.log" 2>&1 ||
    die "unable to install the servers; the reason is in ${STATE#"$ROOT/"}/servers.log"
  rm -rf --one-file-system "$STATE/servers"
  mv "$STATE/servers.tar.new" "$STATE/servers.tar"
  servers_key >"$STATE/servers.key"
}

# has_servers: whether servers.tar exists and is up to date.
has_servers() {
  [[ -s $CHOICE && -e $STATE/servers.tar && $(<"$STATE/servers.key") == "$(servers_key)" ]]
}

servers_key() {
  if [[ $(<"$CHOICE") == heroku ]]; then
    echo "$HEROKU_RUN_IMAGE"
  else
    cat "$STATE/base.key"
  fi
  echo "$SERVERS"
  declare -f install_packages
}

# make_spring_boot_app: builds the app of the recipe for Spring Boot, from packages of Maven Central.
make_spring_boot_app() {
  local source=tests/fixtures/apps/spring-boot key
  key=$(cat "$source"/*)
  [[ -e $STATE/spring-boot/app.jar && $(<"$STATE/spring-boot.key") == "$key" ]] && return
  apt_install_missing mvn maven javac default-jdk-headless
  say 'Building an app for Spring Boot (half a minute, once)'
  mvn --batch-mode --file "$source/pom.xml" "-Doutput=$STATE/spring-boot" package >"$STATE/spring-boot.log" 2>&1 ||
    die "Maven failed; the reason is in ${STATE#"$ROOT/"}/spring-boot.log"
  printf '%s\n' "$key" >"$STATE/spring-boot.key"
}

# install_packages PACKAGE…: installs packages, as root in a copy of an image. They start no service, because policy-rc.d forbids it.
install_packages() {
  set -euo pipefail
  printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
  chmod 755 /usr/sbin/policy-rc.d
  export DEBIAN_FRONTEND=noninteractive
  apt-get update
  apt-get install --yes --no-install-recommends --option Dpkg::Options::=--force-unsafe-io "$@"
  rm -rf /var/{cache,lib}/apt /usr/share/{doc,info,locale,man}
}

# install_with_docker SCRIPT: runs SCRIPT in a container of Heroku's run image.
install_with_docker() {
  local container
  container=$(docker create --label "$PREFIX" --user root --network host --entrypoint bash "$HEROKU_RUN_IMAGE" -c "$1") &&
    docker start --attach "$container" &&
    docker export "$container" >"$STATE/servers.tar.new" &&
    docker rm "$container"
}

# install_without_docker SCRIPT: runs SCRIPT in the file system of base.tar, without the engine, which may have no network.
install_without_docker() {
  change_base "$STATE/servers" "$1" &&
    tar --create --file "$STATE/servers.tar.new" --numeric-owner --exclude './dev/*' --directory "$STATE/servers" .
}

# change_base DIRECTORY SCRIPT: unpacks base.tar into DIRECTORY, and runs SCRIPT there.
change_base() {
  in_namespaces --mount -- change_base_inside "$@"
}

# change_base_inside DIRECTORY SCRIPT: the part of change_base that runs in its own mount and process namespaces.
change_base_inside() {
  local root=$1
  rm -rf "$root"
  mkdir "$root"
  tar --extract --file "$STATE/base.tar" --numeric-owner --directory "$root"
  # debootstrap lists `main` only. Ubuntu has some of the servers in `universe`.
  ! grep --quiet '^ID=ubuntu$' "$root/etc/os-release" || sed -i 's/ main$/ main universe/' "$root/etc/apt/sources.list"
  cp /etc/resolv.conf "$root/etc/resolv.conf"
  mount --rbind /dev "$root/dev"
  mount -t proc proc "$root/proc"
  chroot "$root" bash -c "$2"
}

# make_builder: makes the builder of KEY and its images, unless the engine has them. Sets BUILDER, RUN_IMAGE_WITHOUT_SHELL and
# RUN_IMAGE_WITH_SERVERS.
make_builder() {
  local build run release
  BUILDER=$PREFIX-base/builder:$KEY
  RUN_IMAGE_WITHOUT_SHELL=$PREFIX-base/run-without-shell:$KEY
  RUN_IMAGE_WITH_SERVERS=$PREFIX-base/run-with-servers:$KEY
  if has_image "$BUILDER" && [[ -e $BUILDER_CONFIG ]]; then return; fi

  say 'Making the builder of the tests'
  release=$(tar --extract --to-stdout --wildcards --file "$STATE/servers.tar" '*usr/lib/os-release')
  DISTRO=$(sed -n 's/^ID=//p' <<<"$release")
  DISTRO_VERSION=$(sed -n 's/^VERSION_ID="\(.*\)"$/\1/p' <<<"$release")
  # A release to come has no number.
  DISTRO_VERSION=${DISTRO_VERSION:-$(sed -n 's/^VERSION_CODENAME=//p' <<<"$release")}
  if [[ $(<"$CHOICE") == heroku ]]; then
    build=$HEROKU_BUILDER
    run=$HEROKU_RUN_IMAGE
  else
    build=$PREFIX-base/build:$KEY
    run=$PREFIX-base/run:$KEY
    import "$run" "USER $RUN_USER_ID:$GROUP_ID" <"$STATE/base.tar"
    import "$build" "USER $BUILD_USER_ID:$GROUP_ID" "ENV CNB_USER_ID=$BUILD_USER_ID" "ENV CNB_GROUP_ID=$GROUP_ID" <"$STATE/base.tar"
  fi
  make_run_image_without_shell "$run"
  import "$RUN_IMAGE_WITH_SERVERS" "USER $RUN_USER_ID:$GROUP_ID" <"$STATE/servers.tar"
  create_builder "$build" "$run"
}

# builder_key: prints a key that differs between builders with different contents.
builder_key() {
  {
    echo "$HEROKU"
    cat "$CHOICE" "$TOOLS"/stamps/{lifecycle,pack}
    if [[ $(<"$CHOICE") == heroku ]]; then
      docker image inspect --format '{{.Id}}' "$HEROKU_BUILDER" "$HEROKU_RUN_IMAGE"
    else
      cat "$STATE/base.key"
    fi
    find tests/fixtures/buildpacks/processes -type f -exec cat {} +
    cat script/builder.sh
  } | sha256sum | cut -c 1-12
}

# import IMAGE CHANGE…: makes an image from the archive on stdin, with these Dockerfile instructions. DISTRO and DISTRO_VERSION are those of
# the run image.
import() {
  local image=$1 change changes=()
  shift
  for change in 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' "$@" \
    "LABEL io.buildpacks.stack.id=heroku-$HEROKU" \
    "LABEL io.buildpacks.base.distro.name=$DISTRO" \
    "LABEL io.buildpacks.base.distro.version=$DISTRO_VERSION"; do
    changes+=(--change "$change")
  done
  docker import "${changes[@]}" - "$image" >/dev/null
}

# make_run_image_without_shell RUN_IMAGE: makes a copy of the image that contains no program at all.
make_run_image_without_shell() {
  local container
  container=$(docker create --label "$PREFIX" "$1" true)
  docker export "$container" | tar --delete --wildcards 'usr/bin/*' 'usr/sbin/*' |
    import "$RUN_IMAGE_WITHOUT_SHELL" "USER $RUN_USER_ID:$GROUP_ID"
  docker rm "$container" >/dev/null
}

# create_builder BUILD_IMAGE RUN_IMAGE
create_builder() {
  local directory log="$STATE/builder.log"
  directory=$(dirname "$BUILDER_CONFIG")
  rm -rf "$directory"
  mkdir -p "$directory/lifecycle"
  cp -P "$LIFECYCLE"/* "$directory/lifecycle/"
  # The description of this lifecycle. A release archive contains this file, but the Go module has only a template of it.
  cat >"$directory/lifecycle.toml" <<END
[api]
buildpack = "0.7"
platform = "0.7"

[apis.buildpack]
deprecated = []
supported = ["0.7", "0.8", "0.9", "0.10", "0.11", "0.12"]

[apis.platform]
deprecated = []
supported = ["0.7", "0.8", "0.9", "0.10", "0.11", "0.12", "0.13", "0.14", "0.15"]

[lifecycle]
version = "$("$LIFECYCLE/lifecycle" -version | cut -d + -f 1)"
END
  tar --create --gzip --file "$directory/lifecycle.tgz" --directory "$directory" --owner 0 --group 0 lifecycle.toml lifecycle
  cat >"$directory/builder.toml.new" <<END
[[buildpacks]]
uri = "$ROOT/tests/fixtures/buildpacks/processes"

[[order]]
[[order.group]]
id = "fixture/processes"
version = "0.1.0"

[stack]
id = "heroku-$HEROKU"

[build]
image = "$1"

[[run.images]]
image = "$2"

[lifecycle]
uri = "$directory/lifecycle.tgz"
END
  PACK_HOME="$STATE/pack" pack builder create "$BUILDER" --config "$directory/builder.toml.new" --pull-policy never >"$log" 2>&1 || {
    cat "$log" >&2
    die 'unable to make the builder: the error of pack is above'
  }
  rm -r "$directory"/lifecycle{,.toml}
  mv "$directory/builder.toml.new" "$BUILDER_CONFIG"
}
