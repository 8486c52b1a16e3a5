//! What a front end does with the lines that an installation has to say.

use bullet_stream::global::print;

/// Receives what an installation tells its user while it goes on.
pub(crate) trait Output {
    /// One line: a step that begins, or its result.
    fn step(&self, line: &str);
    /// A few lines that a user should see even in a build that passes.
    fn warning(&self, text: &str);
}

/// The output of a Cloud Native Buildpack build: bullet points on stderr.
pub(crate) struct BuildLog;

impl Output for BuildLog {
    fn step(&self, line: &str) {
        print::sub_bullet(line);
    }

    fn warning(&self, text: &str) {
        print::warning(text);
    }
}

/// Keeps what it is told, for tests.
#[cfg(test)]
#[derive(Default)]
pub(crate) struct Recorded(std::cell::RefCell<Vec<String>>);

#[cfg(test)]
impl Recorded {
    /// All lines so far; a warning is one, after `warning: `.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.borrow().clone()
    }
}

#[cfg(test)]
impl Output for Recorded {
    fn step(&self, line: &str) {
        self.0.borrow_mut().push(line.to_owned());
    }

    fn warning(&self, text: &str) {
        self.0.borrow_mut().push(format!("warning: {text}"));
    }
}
