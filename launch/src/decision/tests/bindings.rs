//! Credentials out of files: that of a token, or those of a service binding.

use std::cell::Cell;
use std::io;

use super::*;
use crate::binding::Unreadable;

#[test]
fn binding_stands_in_for_variables_one_by_one() {
    let bound: fn() -> Binding = || Binding {
        token: Some("bound".into()),
        token_path: Some("/bindings/b/token".into()),
        labels: Some("from=binding".into()),
        unreadable: Vec::new(),
    };
    for (changes, token, labels) in [
        (&[][..], "sesame", "app=shop"),
        (&[("BACKPLANE_TOKEN", "")], "bound", "app=shop"),
        (&[("BACKPLANE_LABELS", "")], "sesame", "from=binding"),
        (
            &[("BACKPLANE_TOKEN", ""), ("BACKPLANE_LABELS", "")],
            "bound",
            "from=binding",
        ),
    ] {
        let (plan, _) = Case {
            binding: bound,
            ..with(changes)
        }
        .started();
        let path = (token == "bound").then(|| PathBuf::from("/bindings/b/token"));
        assert_eq!(plan.token_path, path, "{changes:?}");
        assert_eq!(
            plan.environment.get("BACKPLANE_TOKEN"),
            Some(OsStr::new(token))
        );
        assert_eq!(plan.labels, labels);
    }
}

#[test]
fn token_file_comes_after_the_variable_and_before_the_binding() {
    let bound: fn() -> Binding = || Binding {
        token: Some("bound".into()),
        ..Binding::default()
    };
    let file = ("BACKPLANE_TOKEN_FILE", "/run/secrets/token");
    let no_variable = ("BACKPLANE_TOKEN", "");
    let readable: fn() -> io::Result<OsString> = || Ok("from a file".into());
    let empty: fn() -> io::Result<OsString> = || Ok("".into());
    let unreadable: fn() -> io::Result<OsString> = || Err(io::ErrorKind::PermissionDenied.into());
    let from_file = Some(PathBuf::from(file.1));
    for (changes, token_file, token, path, notes) in [
        (&[file][..], readable, "sesame", None, 0),
        (&[file, no_variable], readable, "from a file", from_file, 0),
        (&[file, no_variable], empty, "bound", None, 0),
        (&[file, no_variable], unreadable, "bound", None, 1),
    ] {
        let case = Case {
            binding: bound,
            token_file,
            ..with(changes)
        };
        let (plan, log) = case.started();
        let found = plan.environment.get("BACKPLANE_TOKEN");
        assert_eq!(found, Some(OsStr::new(token)));
        assert_eq!(plan.token_path, path);
        assert_eq!(log.len(), notes, "{log:?}");
    }
    let case = Case {
        token_file: unreadable,
        ..with(&[file, no_variable])
    };
    let error = "permission denied".to_owned();
    let path = PathBuf::from(file.1);
    assert_eq!(
        case.skipped(),
        [
            LogEntry::warning(Message::TokenFileUnreadable { path, error }),
            LogEntry::warning(Message::NoToken)
        ]
    );
}

#[test]
fn binding_is_read_only_where_needed_and_from_the_stated_root() {
    for (changes, expected) in [
        (&[][..], None),
        (&[("BACKPLANE_TOKEN", "")], Some("/bindings")),
        (
            &[
                ("BACKPLANE_TOKEN", ""),
                ("SERVICE_BINDING_ROOT", "/platform"),
            ],
            Some("/platform"),
        ),
        (
            &[("BACKPLANE_TOKEN", ""), ("BACKPLANE_PROCESS_TYPE", "run")],
            None,
        ),
        (
            &[("BACKPLANE_TOKEN", ""), ("BACKPLANE_DISABLED", "1")],
            None,
        ),
    ] {
        let read = Cell::new(None);
        let case = with(changes);
        decide(&Inputs {
            environment: &case.environment,
            launcher_type: None,
            is_main: false,
            has_terminal: false,
            read_binding: &|root| {
                assert_eq!(read.replace(Some(root.to_owned())), None, "it is read once");
                Binding::default()
            },
            read_token: &|_| panic!("no file is named"),
            agent: None,
            is_file: &|_| true,
        });
        assert_eq!(read.take(), expected.map(PathBuf::from), "{changes:?}");
    }
}

#[test]
fn unreadable_binding_is_a_warning_of_its_own() {
    let unreadable: fn() -> Binding = || Binding {
        unreadable: vec![Unreadable {
            path: PathBuf::from("/bindings/b/token"),
            error: io::Error::from(io::ErrorKind::PermissionDenied),
        }],
        ..Binding::default()
    };
    let no_token = ("BACKPLANE_TOKEN", "");
    let expected = LogEntry::warning(Message::BindingUnreadable {
        path: PathBuf::from("/bindings/b/token"),
        error: "permission denied".to_owned(),
    });
    let case = Case {
        binding: unreadable,
        ..with(&[no_token])
    };
    assert_eq!(
        case.skipped(),
        [expected.clone(), LogEntry::warning(Message::NoToken)]
    );
    let case = Case {
        binding: unreadable,
        ..with(&[no_token, WORKER])
    };
    assert_eq!(
        case.skipped(),
        [expected, LogEntry::debug(Message::NoToken)]
    );
}
