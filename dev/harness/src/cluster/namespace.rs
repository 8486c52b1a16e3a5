//! A namespace of the cluster, and what runs in it.

use std::fmt;
use std::thread;
use std::time::Duration;

use serde_json::{Deserializer, Value};

use super::kubectl::{kubectl, kubectl_with_file, try_kubectl};
use crate::containers::test_env;
use crate::eventually;

/// How long to wait before the cluster is asked again: each question is a process that reads all
/// that the server can do.
const PAUSE: Duration = Duration::from_millis(200);

/// How long pods may take to start, to become ready or to end, on a busy machine.
const DEADLINE: Duration = Duration::from_mins(1);

/// A namespace that enforces the Pod Security Standard `restricted`. It is removed, with all that
/// runs in it, when this is dropped.
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes one, and waits until pods can be made in it.
    #[expect(
        clippy::new_without_default,
        reason = "it makes something outside of this process"
    )]
    pub fn new() -> Self {
        let name = test_env().new_name();
        kubectl(&["create", "namespace", &name]);
        let namespace = Self { name };
        let enforce = "pod-security.kubernetes.io/enforce=restricted";
        kubectl(&["label", "namespace", &namespace.name, enforce]);
        namespace.eventually("the account of its pods", || {
            let (code, ..) = namespace.try_kubectl(&["get", "serviceaccount", "default"]);
            (code == Some(0)).then_some(())
        });
        namespace
    }

    /// Makes or changes the objects of a manifest.
    #[track_caller]
    pub fn apply(&self, manifest: &str) {
        kubectl_with_file(&["--namespace", &self.name, "apply"], manifest);
    }

    /// The objects of a manifest, as `apply` would send them.
    #[track_caller]
    pub fn parse(&self, manifest: &str) -> Vec<Value> {
        let json = ["create", "--dry-run=client", "--output", "json"];
        let objects = kubectl_with_file(
            &[&["--namespace", &self.name], &json[..]].concat(),
            manifest,
        );
        let objects = Deserializer::from_str(&objects).into_iter();
        objects.map(Result::unwrap).collect()
    }

    /// Asks for the eviction of a pod, as when its node is drained.
    #[track_caller]
    pub fn evict(&self, pod: &str) {
        let eviction = format!(
            r#"{{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {{"name": "{pod}"}}}}"#
        );
        let path = format!("/api/v1/namespaces/{}/pods/{pod}/eviction", self.name);
        kubectl_with_file(&["create", "--raw", &path], &eviction);
    }

    /// Runs a command of kubectl in the namespace, and returns its stdout.
    #[track_caller]
    pub fn kubectl(&self, words: &[&str]) -> String {
        kubectl(&[&["--namespace", &self.name], words].concat())
    }

    /// Runs a command of kubectl in the namespace that may fail, and returns its exit code, stdout
    /// and stderr.
    #[track_caller]
    pub fn try_kubectl(&self, words: &[&str]) -> (Option<i32>, String, String) {
        try_kubectl(&[&["--namespace", &self.name], words].concat())
    }

    /// The pods that are not about to end.
    #[track_caller]
    pub fn pods(&self) -> Vec<Value> {
        let list = self.kubectl(&["get", "pods", "--output", "json"]);
        let mut list: Value = serde_json::from_str(&list).unwrap();
        let Value::Array(mut pods) = list["items"].take() else {
            panic!("there is no list of pods: {list}");
        };
        pods.retain(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        pods
    }

    /// Asks `question` until it has an answer; a failure shows the pods and their logs.
    #[track_caller]
    pub fn eventually<T>(&self, what: &str, mut question: impl FnMut() -> Option<T>) -> T {
        let what = fmt::from_fn(|f| {
            let (_, pods, _) = self.try_kubectl(&["describe", "pods"]);
            write!(f, "{what} ({pods}")?;
            for pod in self.pods() {
                let name = pod["metadata"]["name"].as_str().unwrap_or_default();
                let (_, logs, errors) = self.try_kubectl(&["logs", name, "--all-containers"]);
                write!(f, "; log of {name}: {logs}{errors}")?;
            }
            write!(f, ")")
        });
        eventually(DEADLINE, what, || {
            let answer = question();
            if answer.is_none() {
                thread::sleep(PAUSE);
            }
            answer
        })
    }

    /// Removes it with all that runs in it, and waits for the end.
    pub fn delete(self) {
        kubectl(&["delete", "namespace", &self.name]);
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // It may be gone.
        let _ = try_kubectl(&["delete", "namespace", &self.name, "--wait=false"]);
    }
}
