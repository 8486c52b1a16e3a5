//! The type of the app's process: `web`, `worker`, a one-off command, …

use crate::settings::Settings;

/// Heroku's process types of one-off dynos, and that of an add-on for them.
const ONE_OFF_TYPES: [&str; 4] = ["run", "release", "scheduler", "advanced-scheduler"];

/// Whether a process of this type comes and goes for one command, so that nothing should serve
/// beside it.
pub(crate) fn is_one_off(process_type: &str) -> bool {
    ONE_OFF_TYPES.contains(&process_type)
}

/// The process type: the one that the user sets, else the dyno's, else the name by which the CNB
/// launcher was started.
pub(crate) fn determine(settings: &Settings, launcher_type: Option<&str>) -> Option<String> {
    settings
        .process_type
        .clone()
        .or_else(|| settings.dyno.as_deref().and_then(from_dyno))
        .or_else(|| launcher_type.map(str::to_owned))
}

/// The type in Heroku's `DYNO`: `web.1` on Cedar, `web-12a34b56d-e78f9` (the type, a hash of the
/// release, a random part) on Fir.
///
/// Any other name shows at most that it is a one-off:
/// <https://devcenter.heroku.com/articles/dynos#local-environment-variables>.
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
    let mut one_offs = ONE_OFF_TYPES.into_iter();
    one_offs
        .find(|one_off| {
            let rest = dyno.strip_prefix(one_off);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-']))
        })
        .map(str::to_owned)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::environment;

    #[test]
    fn dyno_has_the_type_on_cedar_and_fir_and_else_only_one_offs() {
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
            ("advanced-scheduler.8742", Some("advanced-scheduler")),
            ("advanced-scheduler-x.y", Some("advanced-scheduler")),
            ("advanced-12a34b56d.x", None),
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
            let (settings, _) = Settings::read(&environment(&[("DYNO", dyno)]));
            assert_eq!(determine(&settings, None).as_deref(), expected, "{dyno}");
        }
    }
}
