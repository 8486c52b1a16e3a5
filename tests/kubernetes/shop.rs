//! The Deployment of docs/kubernetes.md, with the sample app behind an edge.

use std::fs;
use std::sync::OnceLock;

use harness::cluster::{self, Namespace};
use harness::containers::{Build, test_env};
use harness::{App, Edge, TOKEN, documented};
use serde_json::{Value, json};

/// The endpoint of the app at the edge.
pub(crate) const ENDPOINT: &str = "myendpoint.test";

/// How many replicas the document's Deployment has.
pub(crate) const REPLICAS: usize = 3;

/// Where the programs of the buildpack are in an image.
pub(crate) const LIBEXEC: &str = "/layers/backplane_agent/agent/libexec";

/// The app exits at once at SIGTERM, whatever is in flight, and its answers name its pod.
const WEB: &str =
    r#"trap "exit 0" TERM; ./sample-app --release "$HOSTNAME" & echo "the app is up"; wait $!"#;

/// The name of its image on the node.
fn image() -> &'static str {
    static IMAGE: OnceLock<String> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let program = |name| fs::read(test_env().program(name)).unwrap();
        let app = App::new()
            .process("web", WEB)
            .process("worker", "exec sleep 1000")
            .process("task", "echo done; exit 7")
            .executable("sample-app", program("sample-app"))
            .executable("vendor/backplane", program("backplane"));
        let build = Build::new(app).env("BACKPLANE_AGENT_URL", "vendor/backplane");
        cluster::import(&build.run())
    })
}

/// The manifest of the document, filled in as it says.
fn manifest(image: &str, edge: &Edge) -> String {
    let manifest = documented("docs/kubernetes.md", "apiVersion: ");
    let mut filled = manifest.clone();
    for (placeholder, value) in [
        ("IMAGE", image),
        ("TOKEN", TOKEN),
        ("HOST:PORT", &edge.agents),
    ] {
        assert_eq!(manifest.matches(placeholder).count(), 1, "{placeholder}");
        filled = filled.replace(placeholder, value);
    }
    filled
}

/// The Deployment, its namespace, and the edge of its agents.
pub(crate) struct Shop {
    // Before the edge, as fields are dropped in this order.
    pub(crate) namespace: Namespace,
    pub(crate) edge: Edge,
}

/// The objects of the manifest before they are applied, with one replica.
pub(crate) struct Objects {
    pub(crate) secret: Value,
    pub(crate) deployment: Value,
}

impl Objects {
    /// The specification of the pods.
    pub(crate) fn pod(&mut self) -> &mut Value {
        &mut self.deployment["spec"]["template"]["spec"]
    }

    /// The app's container.
    pub(crate) fn app(&mut self) -> &mut Value {
        &mut self.pod()["containers"][0]
    }

    /// Sets a variable of the app's container.
    pub(crate) fn env(&mut self, name: &str, value: &str) {
        let variables = self.app()["env"].as_array_mut().unwrap();
        variables.retain(|variable| variable["name"] != name);
        variables.push(json!({"name": name, "value": value}));
    }
}

/// Makes a container of the app one that need not serve.
pub(crate) fn remove_hooks(container: &mut Value) {
    for hook in ["readinessProbe", "lifecycle"] {
        let removed = container.as_object_mut().unwrap().remove(hook);
        assert!(removed.is_some(), "{hook} is not in the document");
    }
}

impl Shop {
    /// Applies the manifest exactly as it stands in the document.
    pub(crate) fn documented() -> Self {
        let shop = Self::new();
        shop.namespace.apply(&manifest(image(), &shop.edge));
        shop.wait_until_ready(REPLICAS);
        shop
    }

    /// Applies the manifest with one replica and one difference.
    pub(crate) fn with(adjust: impl FnOnce(&mut Objects)) -> Self {
        Self::of_image(image, adjust)
    }

    /// The same with another image, by its name on the node.
    pub(crate) fn of_image(image: fn() -> &'static str, adjust: impl FnOnce(&mut Objects)) -> Self {
        let shop = Self::new();
        let objects = shop.namespace.parse(&manifest(image(), &shop.edge));
        let [secret, deployment] = objects.try_into().unwrap();
        let mut objects = Objects { secret, deployment };
        objects.deployment["spec"]["replicas"] = json!(1);
        adjust(&mut objects);
        shop.namespace.apply(&objects.secret.to_string());
        shop.namespace.apply(&objects.deployment.to_string());
        shop
    }

    fn new() -> Self {
        let edge = cluster::edge(TOKEN);
        edge.route(TOKEN, ENDPOINT, "app=shop");
        Self {
            namespace: Namespace::new(),
            edge,
        }
    }

    /// Waits until this many replicas are ready and none is left of an earlier state.
    #[track_caller]
    pub(crate) fn wait_until_ready(&self, replicas: usize) {
        self.namespace.eventually("a Deployment that is ready", || {
            let format = ["--output", "json"];
            let deployment = [&["get", "deployment", "shop"], &format[..]].concat();
            let deployment: Value =
                serde_json::from_str(&self.namespace.kubectl(&deployment)).unwrap();
            let status = &deployment["status"];
            let is_current = status["observedGeneration"] == deployment["metadata"]["generation"];
            let is_done = ["replicas", "updatedReplicas", "availableReplicas"]
                .iter()
                .all(|count| status[count] == replicas);
            (is_current && is_done).then_some(())
        });
    }

    /// Waits until requests are answered through the edge.
    #[track_caller]
    pub(crate) fn wait_until_served(&self) {
        self.namespace.eventually("an answer", || {
            (self.edge.get(ENDPOINT, "/") == 200).then_some(())
        });
    }

    /// The names of the pods that are not about to end.
    #[track_caller]
    pub(crate) fn pods(&self) -> Vec<String> {
        let pods = self.namespace.pods();
        pods.iter()
            .map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Runs a command in the app's container, and returns its exit code, stdout and stderr.
    #[track_caller]
    pub(crate) fn exec(&self, words: &[&str]) -> (Option<i32>, String, String) {
        let exec = ["exec", "deployment/shop", "--container", "web", "--"];
        self.namespace.try_kubectl(&[&exec, words].concat())
    }

    /// Runs a command in a debug container that sees the processes of the app's container, and has
    /// its variables.
    #[track_caller]
    pub(crate) fn debug(&self, pod: &str, words: &[&str]) {
        let options = [
            "--container",
            "debug",
            "--target",
            "web",
            "--profile",
            "restricted",
        ];
        let edge = format!("BACKPLANE_EDGE={}", self.edge.agents);
        let token = format!("BACKPLANE_TOKEN={TOKEN}");
        let variables = ["PORT=8080", "BACKPLANE_LABELS=app=shop", &edge, &token];
        let variables = variables.map(|variable| format!("--env={variable}"));
        let variables: Vec<&str> = variables.iter().map(String::as_str).collect();
        let debug = ["debug", pod, "--image", image()];
        self.namespace
            .kubectl(&[&debug, &options[..], &variables, &["--"], words].concat());
    }

    /// The log of the app's container so far, or why there is none.
    #[track_caller]
    pub(crate) fn log(&self) -> String {
        let logs = ["logs", "deployment/shop", "--container", "web"];
        let (_, log, errors) = self.namespace.try_kubectl(&logs);
        log + &errors
    }

    /// How often containers of its pods were started again.
    #[track_caller]
    pub(crate) fn restarts(&self) -> u64 {
        let pods = self.namespace.pods();
        let containers = pods
            .iter()
            .filter_map(|pod| pod["status"]["containerStatuses"].as_array());
        containers
            .flatten()
            .map(|container| container["restartCount"].as_u64().unwrap())
            .sum()
    }
}
