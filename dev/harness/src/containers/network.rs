//! Networks of a user's own, on which containers find one another by name.

use super::docker::{docker, try_docker};
use super::test_env::test_env;

/// A network on the engine, removed when this is dropped; its containers have to be gone by then.
pub struct Network {
    pub name: String,
}

impl Network {
    pub fn create() -> Self {
        let name = test_env().new_name();
        docker(["network", "create", &name]);
        Self { name }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // What is in the way is removed at the end of the run.
        let _ = try_docker(["network", "rm", &self.name]);
    }
}
