//! The rules of the decision, each as a table: variables and inputs, and what comes of them.

mod bindings;
mod needs;

use std::os::unix::ffi::OsStrExt as _;

use super::*;
use crate::settings::VARIABLES;
use crate::testing::{WithBytes as _, environment};

/// A process for which every rule says yes, changed case by case.
struct Case {
    environment: Environment,
    launcher_type: Option<&'static str>,
    is_main: bool,
    has_terminal: bool,
    binding: fn() -> Binding,
    token_file: fn() -> io::Result<OsString>,
    agent: Option<&'static str>,
    agent_is_installed: bool,
}

const BOOTABLE: [(&str, &str); 4] = [
    ("BACKPLANE_TOKEN", "sesame"),
    ("BACKPLANE_LABELS", "app=shop"),
    ("BACKPLANE_PROCESS_TYPE", "web"),
    ("PORT", "8080"),
];

/// The bootable process with these variables changed; an empty value unsets one.
fn with(changes: &[(&str, &str)]) -> Case {
    let mut variables = BOOTABLE.to_vec();
    variables.retain(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
    variables.extend(changes.iter().filter(|(_, value)| !value.is_empty()));
    Case {
        environment: environment(&variables),
        launcher_type: None,
        is_main: false,
        has_terminal: false,
        binding: Binding::default,
        token_file: || Ok("from a file".into()),
        agent: Some("/layers/agent/libexec/backplane"),
        agent_is_installed: true,
    }
}

impl Case {
    fn decide(&self) -> Decision {
        decide(&Inputs {
            environment: &self.environment,
            launcher_type: self.launcher_type,
            is_main: self.is_main,
            has_terminal: self.has_terminal,
            read_binding: &|_| (self.binding)(),
            read_token: &|_| (self.token_file)(),
            agent: self.agent.map(Path::new),
            is_file: &|_| self.agent_is_installed,
        })
    }

    /// The notes of a case that must be skipped.
    fn skipped(&self) -> Vec<LogEntry> {
        let decision = self.decide();
        assert_eq!(
            decision.plan, None,
            "an agent is started with {:?}",
            self.environment
        );
        decision.log
    }

    /// The plan of a case that must be started, and what is said beyond a debug line.
    fn started(&self) -> (Plan, Vec<LogEntry>) {
        let Decision { plan, mut log, .. } = self.decide();
        let plan = plan.unwrap_or_else(|| panic!("no agent is started: {log:?}"));
        log.retain(|entry| entry.level < Level::Debug);
        (plan, log)
    }

    fn labels(&self) -> String {
        self.started().0.labels
    }

    fn upstream(&self) -> String {
        self.started().0.upstream.to_string()
    }
}

/// One kind of process for which nobody wants to read a warning.
const WORKER: (&str, &str) = ("BACKPLANE_PROCESS_TYPE", "worker");

#[test]
fn web_process_with_token_labels_and_port_is_started() {
    let (plan, notes) = with(&[]).started();
    assert_eq!(notes, []);
    assert_eq!(
        plan,
        Plan {
            process_type: "web".to_owned(),
            is_expected: true,
            labels: "app=shop".to_owned(),
            upstream: Upstream::from_port(OsStr::new("8080")).unwrap(),
            agent: PathBuf::from("/layers/agent/libexec/backplane"),
            wait_for_app: true,
            drain: Drain::Keep,
            stop_timeout: Duration::from_secs(5),
            token_path: None,
            environment: agent_environment::of_agent(
                &environment(&BOOTABLE[1..3]),
                Path::new("/layers/agent/libexec"),
                &[],
                OsStr::new("sesame")
            ),
        }
    );
    assert_eq!(
        plan.environment.get("BACKPLANE_TOKEN"),
        Some(OsStr::new("sesame"))
    );
}

#[test]
fn choices_reach_the_plan() {
    let (plan, _) = with(&[
        ("BACKPLANE_WAIT_FOR_APP", "no"),
        ("BACKPLANE_DRAIN", "stop"),
        ("BACKPLANE_STOP_TIMEOUT", "30"),
    ])
    .started();
    assert!(!plan.wait_for_app);
    assert_eq!(plan.drain, Drain::Stop);
    assert_eq!(plan.stop_timeout, Duration::from_secs(30));
    for (word, verbosity) in [
        ("quiet", Verbosity::Quiet),
        ("debug", Verbosity::Debug),
        ("", Verbosity::Info),
    ] {
        assert_eq!(
            with(&[("BACKPLANE_LOG", word)]).decide().verbosity,
            verbosity
        );
    }
    let (plan, _) = with(&[
        ("BACKPLANE_AGENT_ENV", "MINE"),
        ("MINE", "x"),
        ("OTHER", "y"),
    ])
    .started();
    assert_eq!(plan.environment.get("MINE"), Some(OsStr::new("x")));
    assert_eq!(plan.environment.get("OTHER"), None);
}

#[test]
fn rule_1_disabled_wins_over_everything_and_is_silent() {
    for value in ["1", "true", "yes", "on", "TRUE"] {
        let notes = with(&[
            ("BACKPLANE_DISABLED", value),
            ("BACKPLANE_PROXY_URL", "nonsense"),
            ("BACKPLANE_DRAIN", "nonsense"),
        ])
        .skipped();
        assert_eq!(notes.last(), Some(&LogEntry::debug(Message::Disabled)));
        assert!(
            notes.iter().all(|note| note.level == Level::Debug),
            "{notes:?}"
        );
    }
    for value in ["0", "false", "no", "off", ""] {
        with(&[("BACKPLANE_DISABLED", value)]).started();
    }
    let (_, notes) = with(&[("BACKPLANE_DISABLED", "ture")]).started();
    assert!(matches!(
        &notes[..],
        [LogEntry {
            level: Level::Warning,
            message: Message::MalformedSetting {
                name: "BACKPLANE_DISABLED",
                ..
            }
        }]
    ));
}

#[test]
fn rule_2_process_type_is_the_stated_one_else_the_dynos_else_the_launchers() {
    let type_unset = ("BACKPLANE_PROCESS_TYPE", "");
    for (changes, launcher_type, expected) in [
        (
            &[("BACKPLANE_PROCESS_TYPE", "a"), ("DYNO", "b.1")][..],
            Some("c"),
            "a",
        ),
        (&[type_unset, ("DYNO", "b.1")], Some("c"), "b"),
        (
            &[type_unset, ("DYNO", "my-b-12a34b56d-e78f9")],
            None,
            "my-b",
        ),
        (&[type_unset], Some("c"), "c"),
        (&[type_unset, ("DYNO", "odd")], Some("c"), "c"),
    ] {
        let case = Case {
            launcher_type,
            ..with(changes)
        };
        assert_eq!(case.started().0.process_type, expected);
    }
    assert_eq!(
        with(&[type_unset]).skipped(),
        [LogEntry::debug(Message::OneOff { process_type: None })]
    );
}

#[test]
fn rule_3_ignored_type_is_skipped_by_whole_word() {
    let ignored = |list| with(&[("BACKPLANE_IGNORE_PROCESS_TYPE", list)]);
    for list in ["web", "worker,web", "worker web", " worker , web "] {
        let process_type = "web".to_owned();
        assert_eq!(
            ignored(list).skipped(),
            [LogEntry::debug(Message::IgnoredType { process_type })],
            "{list}"
        );
    }
    for list in ["worker", "webs", "we", "Web", "web.1", " , "] {
        ignored(list).started();
    }
}

#[test]
fn rule_4_allow_list_lets_only_its_types_through_and_ignore_wins() {
    let allowed = |list, process_type| {
        with(&[
            ("BACKPLANE_PROCESS_ALLOW", list),
            ("BACKPLANE_PROCESS_TYPE", process_type),
        ])
    };
    for (list, process_type) in [
        ("web", "web"),
        ("www,worker", "worker"),
        ("run", "run"),
        ("release web", "release"),
    ] {
        allowed(list, process_type).started();
    }
    for (list, process_type) in [("www", "web"), ("webs,we", "web"), ("web", "run")] {
        let reason = Message::NotAllowedType {
            process_type: Some(process_type.to_owned()),
        };
        assert_eq!(
            allowed(list, process_type).skipped(),
            [LogEntry::debug(reason)]
        );
    }
    let reason = Message::NotAllowedType { process_type: None };
    assert_eq!(allowed("web", "").skipped(), [LogEntry::debug(reason)]);
    let both = [
        ("BACKPLANE_PROCESS_ALLOW", "web"),
        ("BACKPLANE_IGNORE_PROCESS_TYPE", "web"),
    ];
    let process_type = "web".to_owned();
    assert_eq!(
        with(&both).skipped(),
        [LogEntry::debug(Message::IgnoredType { process_type })]
    );
}

#[test]
fn rule_5_one_off_is_skipped_silently() {
    for process_type in ["run", "release", "scheduler", "advanced-scheduler"] {
        let notes = with(&[
            ("BACKPLANE_PROCESS_TYPE", process_type),
            ("BACKPLANE_TOKEN", ""),
            ("BACKPLANE_LOG", "nonsense"),
        ])
        .skipped();
        let reason = Message::OneOff {
            process_type: Some(process_type.to_owned()),
        };
        assert_eq!(notes.last(), Some(&LogEntry::debug(reason)));
        assert!(
            notes.iter().all(|note| note.level == Level::Debug),
            "{notes:?}"
        );
    }
    for (variable, value) in [("HEROKU_TEST_RUN_ID", "x"), ("CNB_EXEC_ENV", "test")] {
        assert_eq!(
            with(&[(variable, value)]).skipped(),
            [LogEntry::debug(Message::TestRun { variable })]
        );
        with(&[(variable, value), ("BACKPLANE_PROCESS_ALLOW", "web")]).started();
    }
    with(&[("CNB_EXEC_ENV", "production")]).started();
    for process_type in ["runner", "web", "worker", "Release"] {
        with(&[("BACKPLANE_PROCESS_TYPE", process_type)]).started();
    }
}

#[test]
fn rule_5_unknown_type_is_told_once_it_looks_like_a_server() {
    let unknown = |changes: &[(&str, &str)], is_main, has_terminal, binding| {
        let mut all = vec![("BACKPLANE_PROCESS_TYPE", "")];
        all.extend(changes);
        let case = Case {
            is_main,
            has_terminal,
            binding,
            ..with(&all)
        };
        case.skipped()
    };
    let told = [LogEntry::info(Message::UnknownType)];
    let silent = [LogEntry::debug(Message::OneOff { process_type: None })];
    let no_token = ("BACKPLANE_TOKEN", "");
    let bound: fn() -> Binding = || Binding {
        token: Some("T".into()),
        ..Binding::default()
    };
    assert_eq!(unknown(&[], true, false, Binding::default), told);
    assert_eq!(unknown(&[no_token], true, false, bound), told);
    assert_eq!(unknown(&[], false, false, Binding::default), silent);
    assert_eq!(unknown(&[], true, true, Binding::default), silent);
    assert_eq!(unknown(&[no_token], true, false, Binding::default), silent);
    // A job is not for requests.
    let no_port = ("PORT", "");
    let url = ("BACKPLANE_PROXY_URL", "http://127.0.0.1:3000");
    assert_eq!(unknown(&[no_port], true, false, Binding::default), silent);
    assert_eq!(
        unknown(&[no_port, url], true, false, Binding::default),
        told
    );
}

#[test]
fn skips_warn_for_web_www_and_types_on_the_allow_list_only() {
    for (process_type, allow, expected) in [
        ("web", "", Level::Warning),
        ("www", "", Level::Warning),
        ("worker", "worker", Level::Warning),
        ("run", "run", Level::Warning),
        ("worker", "", Level::Debug),
        ("webs", "", Level::Debug),
    ] {
        let kind = [
            ("BACKPLANE_PROCESS_TYPE", process_type),
            ("BACKPLANE_PROCESS_ALLOW", allow),
        ];
        let (plan, _) = with(&kind).started();
        assert_eq!(plan.is_expected, expected == Level::Warning);
        for missing in ["BACKPLANE_TOKEN", "BACKPLANE_LABELS", "PORT"] {
            let notes = with(&[kind[0], kind[1], (missing, "")]).skipped();
            assert_eq!(notes[0].level, expected, "{process_type} without {missing}");
        }
        let notes = Case {
            agent_is_installed: false,
            ..with(&kind)
        }
        .skipped();
        assert_eq!(notes[0].level, expected, "{process_type} without an agent");
    }
}

#[test]
fn rules_are_tried_in_their_order() {
    // Each case breaks one rule more than the one after it; the first broken one is named.
    let everything = [
        ("BACKPLANE_DISABLED", "1"),
        ("BACKPLANE_IGNORE_PROCESS_TYPE", "web"),
        ("BACKPLANE_PROCESS_ALLOW", "www"),
        ("HEROKU_TEST_RUN_ID", "x"),
        ("BACKPLANE_TOKEN", ""),
        ("BACKPLANE_LABELS", ""),
        ("PORT", ""),
    ];
    let expected: [fn(&Message) -> bool; 8] = [
        |message| matches!(message, Message::Disabled),
        |message| matches!(message, Message::IgnoredType { .. }),
        |message| matches!(message, Message::NotAllowedType { .. }),
        |message| matches!(message, Message::TestRun { .. }),
        |message| matches!(message, Message::NoToken),
        |message| matches!(message, Message::NoLabels { .. }),
        |message| matches!(message, Message::NoUpstream),
        |message| matches!(message, Message::NoAgent { .. }),
    ];
    for (repaired, is_expected) in expected.iter().enumerate() {
        let case = Case {
            agent_is_installed: false,
            ..with(&everything[repaired..])
        };
        let notes = case.skipped();
        assert!(is_expected(&notes[0].message), "{repaired}: {notes:?}");
    }
}

#[test]
fn no_bytes_in_any_variable_make_it_panic() {
    let names = VARIABLES.into_iter().chain([
        "BACKPLANE_LABELS_WEB",
        "PORT",
        "DYNO",
        "HEROKU_TEST_RUN_ID",
        "CNB_EXEC_ENV",
        "SERVICE_BINDING_ROOT",
        "PATH",
    ]);
    let garbage: [&[u8]; 9] = [
        b"\xff\xfe",
        b"\xc3",
        b"=",
        b"-",
        b"\x1b[2J",
        b"://",
        b"http://[",
        b",",
        b"a.b-c-\xff",
    ];
    for name in names.clone() {
        for value in garbage {
            let mut case = with(&[(name, "")]);
            case.environment = case.environment.with_bytes(name.as_bytes(), value);
            let decision = case.decide();
            for entry in decision.log {
                assert!(!entry.message.to_string().contains("sesame"));
            }
        }
    }
    let mut all = Environment::default();
    for name in names {
        all = all.with_bytes(name.as_bytes(), b"\xff\x01");
    }
    let mut case = with(&[]);
    case.environment = all;
    case.launcher_type = Some("web");
    case.decide();
}

#[test]
fn token_of_any_bytes_reaches_the_agent_as_it_is() {
    let mut case = with(&[("BACKPLANE_TOKEN", "")]);
    case.environment = case.environment.with_bytes(b"BACKPLANE_TOKEN", b"\xff\xfe");
    let (plan, _) = case.started();
    assert_eq!(
        plan.environment.get("BACKPLANE_TOKEN"),
        Some(OsStr::from_bytes(b"\xff\xfe"))
    );
}
