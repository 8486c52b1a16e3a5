//! The two ways to add the buildpack to an app.

/// How an app is built and started.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FrontEnd {
    /// As a Cloud Native Buildpack, by the lifecycle and its launcher.
    Cnb,
    /// As a classic buildpack of Heroku, by `bin/compile` and the shell of a dyno.
    Classic,
}

impl FrontEnd {
    /// The labels of an agent that has these elsewhere: on a dyno there is one more.
    pub fn labels(self, labels: &str) -> String {
        const OF_DYNOS: &str = ",heroku=true";
        match self {
            Self::Classic if !labels.ends_with(OF_DYNOS) => format!("{labels}{OF_DYNOS}"),
            _ => labels.to_owned(),
        }
    }
}

/// Makes each of these functions, which take a [`FrontEnd`], a test for each front end: `cnb::NAME`
/// and `classic::NAME`.
#[macro_export]
macro_rules! for_each_front_end {
    (mod $module:ident by $front_end:ident: $($name:ident),+) => {
        mod $module {
            $(
                #[test]
                fn $name() {
                    super::$name($crate::lifecycle::FrontEnd::$front_end);
                }
            )+
        }
    };
    ($($name:ident),+ $(,)?) => {
        $crate::for_each_front_end!(mod cnb by Cnb: $($name),+);
        $crate::for_each_front_end!(mod classic by Classic: $($name),+);
    };
}
