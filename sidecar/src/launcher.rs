//! The CNB launcher, which becomes the app.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

/// The type in the launcher's argv\[0\]: `/cnb/process/web`, as the image's entry point, or a bare
/// `web` found on the PATH, as by `--entrypoint web`
/// (<https://github.com/buildpacks/spec/blob/main/platform.md#launcher>).
///
/// The directory may be anywhere, not at the root only: the launcher, too, uses only the name of the
/// link.
pub(crate) fn process_type(argv0: &OsStr, process_exists: &dyn Fn(&str) -> bool) -> Option<String> {
    let name = if argv0.as_bytes().contains(&b'/') {
        let (directory, name) = argv0.to_str()?.rsplit_once('/')?;
        (directory.starts_with('/') && directory.ends_with("/cnb/process")).then_some(name)?
    } else {
        let name = argv0.to_str()?;
        process_exists(name).then_some(name)?
    };
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn argv0_of_the_launcher_has_the_type() {
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
            let exists = |name: &str| ["web", "worker"].contains(&name);
            let found = process_type(OsStr::new(argv0), &exists);
            assert_eq!(found.as_deref(), expected, "{argv0}");
        }
        let not_text = OsStr::from_bytes(b"/cnb/process/\xff");
        assert_eq!(process_type(not_text, &|_| true), None);
    }
}
