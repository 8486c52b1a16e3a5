//! Which process of the app this is: `web`, `worker`, a one-off command, …

use crate::settings::Settings;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

/// Names that Heroku gives to one-off dynos.
const ONE_OFF_TYPES: [&str; 3] = ["run", "release", "scheduler"];

/// Whether a process of this type comes and goes for one command, so that nothing should serve beside it.
pub(crate) fn is_one_off(process_type: &str) -> bool {
    ONE_OFF_TYPES.contains(&process_type)
}

/// The process type: what the user states, else what Heroku says, else the name by which the CNB launcher was started.
///
/// `parent_argv0` is the launcher's argv\[0\] and has to be read before the launcher becomes the app; `process_exists` tells whether
/// the image has a process of that name.
pub(crate) fn determine(
    settings: &Settings,
    parent_argv0: Option<&OsStr>,
    process_exists: &dyn Fn(&str) -> bool,
) -> Option<String> {
    settings
        .process_type
        .clone()
        .or_else(|| settings.dyno.as_deref().and_then(from_dyno))
        .or_else(|| parent_argv0.and_then(|argv0| from_argv0(argv0, process_exists)))
}

/// The type in Heroku's `DYNO`: `web.1` on Cedar, `web-12a34b56d-e78f9` (the type, a hash of the release, a random part) on Fir.
///
/// Anything else tells at most that it is a one-off: <https://devcenter.heroku.com/articles/dynos#local-environment-variables>.
fn from_dyno(dyno: &str) -> Option<String> {
    if let Some((process_type, number)) = dyno.split_once('.')
        && is_type(process_type)
        && !number.is_empty()
        && number.bytes().all(|byte| byte.is_ascii_digit())
    {
        return Some(process_type.to_owned());
    }
    if let [random, hash, process_type] = dyno.rsplitn(3, '-').collect::<Vec<_>>()[..]
        && is_type(process_type)
        && [random, hash].iter().all(|part| is_fir_part(part))
    {
        return Some(process_type.to_owned());
    }
    let first = dyno.split(['.', '-']).next()?;
    is_one_off(first).then(|| first.to_owned())
}

fn is_type(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

fn is_fir_part(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// The type in the launcher's argv\[0\]: `/cnb/process/web`, as the image's entry point, or a bare `web` found on the PATH, as by
/// `--entrypoint web` (<https://github.com/buildpacks/spec/blob/main/platform.md#launcher>).
///
/// The folder may be anywhere, not at the root only: the launcher too goes by the name of the link alone.
fn from_argv0(argv0: &OsStr, process_exists: &dyn Fn(&str) -> bool) -> Option<String> {
    let name = if argv0.as_bytes().contains(&b'/') {
        let (folder, name) = argv0.to_str()?.rsplit_once('/')?;
        (folder.starts_with('/') && folder.ends_with("/cnb/process")).then_some(name)?
    } else {
        let name = argv0.to_str()?;
        process_exists(name).then_some(name)?
    };
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Environment;
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt as _;

    fn determine_from(variables: &[(&str, &str)], argv0: Option<&str>) -> Option<String> {
        let (settings, _) = Settings::read(&Environment::of(variables));
        determine(&settings, argv0.map(OsStr::new), &|name| {
            ["web", "worker"].contains(&name)
        })
    }

    #[test]
    fn dyno_tells_the_type_on_cedar_and_fir_and_else_only_one_offs() {
        for (dyno, expected) in [
            ("web.1", Some("web")),
            ("web.12", Some("web")),
            ("my-worker.3", Some("my-worker")),
            ("my_worker.3", Some("my_worker")),
            ("run.4711", Some("run")),
            ("release.1", Some("release")),
            ("scheduler.8742", Some("scheduler")),
            ("web-12a34b56d-e78f9", Some("web")),
            ("my-worker-12a34b56d-e78f9", Some("my-worker")),
            ("run-12a34b56d-e78f9", Some("run")),
            ("run-1a2b", Some("run")),
            ("run", Some("run")),
            ("release-x.y", Some("release")),
            ("scheduler.a", Some("scheduler")),
            ("web", None),
            ("web.", None),
            ("web.one", None),
            ("web-1", None),
            (".1", None),
            ("web-12A34-e78f9", None),
            ("-a-b", None),
            ("web--", None),
            ("runner.x", None),
            ("...", None),
        ] {
            assert_eq!(
                determine_from(&[("DYNO", dyno)], None).as_deref(),
                expected,
                "{dyno}"
            );
        }
    }

    #[test]
    fn argv0_of_the_launcher_tells_the_type() {
        for (argv0, expected) in [
            ("/cnb/process/web", Some("web")),
            ("/cnb/process/any-thing", Some("any-thing")),
            ("/tmp/x/cnb/process/web", Some("web")),
            ("web", Some("web")),
            ("worker", Some("worker")),
            ("bash", None),
            ("launcher", None),
            ("/cnb/lifecycle/launcher", None),
            ("/usr/bin/web", None),
            ("/cnb/process/", None),
            ("cnb/process/web", None),
            ("./web", None),
            ("", None),
        ] {
            assert_eq!(
                determine_from(&[], Some(argv0)).as_deref(),
                expected,
                "{argv0}"
            );
        }
        let (settings, _) = Settings::read(&Environment::of(&[]));
        let not_text = OsString::from_vec(b"/cnb/process/\xff".to_vec());
        assert_eq!(determine(&settings, Some(&not_text), &|_| true), None);
        assert_eq!(determine(&settings, None, &|_| true), None);
    }

    #[test]
    fn stated_type_wins_over_dyno_and_dyno_over_argv0() {
        let all = [("BACKPLANE_PROCESS_TYPE", "stated"), ("DYNO", "dyno.1")];
        assert_eq!(determine_from(&all, Some("web")).as_deref(), Some("stated"));
        assert_eq!(
            determine_from(&all[1..], Some("web")).as_deref(),
            Some("dyno")
        );
        assert_eq!(
            determine_from(
                &[("BACKPLANE_PROCESS_TYPE", ""), ("DYNO", "odd")],
                Some("web")
            )
            .as_deref(),
            Some("web")
        );
    }
}
