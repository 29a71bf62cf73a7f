//! `[kubernetes]`: the API server that restarts, scales and rolls back the application, and the Deployment that it is.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::channels::{Hidden, WebUrl};
use super::problem::{HOUR, Part};
use crate::units::Text;

/// Where a pod finds its identity (the volume of its service account).
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The table `[kubernetes]` as the operator writes it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct KubernetesFile {
    /// False: whatever a plan's step says, it is only said what would be done here.
    pub enabled: bool,
    /// The Deployment of the application; absent: nothing is done by Kubernetes.
    pub deployment: Option<String>,
    /// Its namespace; absent: the pod's own.
    pub namespace: Option<String>,
    /// Address of the API server; absent: the one that the pod's environment names.
    pub server: Option<String>,
    /// File with the bearer token, read again at most each minute; absent: the one of the pod's service account.
    pub token_file: Option<String>,
    /// The roots that the server's certificate is trusted by, PEM, and no others; absent: the one of the pod's service account.
    pub ca_file: Option<String>,
    /// How long an action may take, all attempts together.
    pub within: Text<Duration>,
    /// By how many replicas it is scaled at once.
    pub scale_by: u32,
    /// It is never scaled down below.
    pub min_replicas: u32,
    /// It is never scaled up beyond.
    pub max_replicas: u32,
    /// How long a scaling up by way of a HorizontalPodAutoscaler lasts.
    pub raised_for: Text<Duration>,
    /// A rollback takes back only a version that was rolled out within this time.
    pub rollback_within: Text<Duration>,
}

/// The bounds of replicas are the guide's.
impl Default for KubernetesFile {
    fn default() -> Self {
        Self {
            enabled: false,
            deployment: None,
            namespace: None,
            server: None,
            token_file: None,
            ca_file: None,
            within: Text(Duration::from_secs(30)),
            scale_by: 1,
            min_replicas: 3,
            max_replicas: 50,
            raised_for: Text(Duration::from_secs(HOUR / 2)),
            rollback_within: Text(Duration::from_secs(HOUR)),
        }
    }
}

/// The Deployment that is acted on, and by whom.
#[derive(Clone, Debug)]
pub struct KubernetesConfig {
    /// False: only tried out.
    pub enabled: bool,
    pub deployment: String,
    pub namespace: String,
    pub server: WebUrl,
    pub token_file: PathBuf,
    pub ca_file: PathBuf,
    /// How long an action may take.
    pub within: Duration,
    /// By how many replicas it is scaled at once.
    pub scale_by: u32,
    /// Never below, never beyond.
    pub replicas: (u32, u32),
    /// How long an autoscaler keeps the `minReplicas` that it was told of.
    pub raised_for: Duration,
    /// Only a version that is younger is rolled back.
    pub rollback_within: Duration,
}

impl KubernetesFile {
    pub(super) fn check(&self, mut at: Part<'_, '_>) -> Option<Arc<KubernetesConfig>> {
        let within = at.lasts("within", self.within, 1, HOUR);
        let raised_for = at.lasts("raised_for", self.raised_for, 60, 24 * HOUR);
        let rollback_within = at.lasts("rollback_within", self.rollback_within, 60, 30 * 24 * HOUR);
        let scale_by = at.within("scale_by", self.scale_by, 1, 100);
        let least = at.within("min_replicas", self.min_replicas, 1, 10_000);
        let most = at.within("max_replicas", self.max_replicas, 1, 10_000);
        if least > most {
            at.add("min_replicas", format!("{least} is more than max_replicas, {most}"));
        }
        let deployment = at.take("deployment", name(self.deployment.as_ref()?))?;
        let of_pod = |file: &str| format!("{ACCOUNT}/{file}");
        let namespace = self.namespace.clone().map_or_else(own_namespace, Ok);
        let namespace = at.take("namespace", namespace.and_then(|text| name(&text)));
        let server = self.server.clone().map_or_else(own_server, Ok);
        let server = server.and_then(|text| WebUrl::read(&text, Hidden::No));
        let server = at.take("server", server);
        if server.as_ref().is_some_and(|server| !server.secure) {
            at.add("server", "would get the token in clear; write \"https://host:port\"");
        }
        let token = self.token_file.clone().unwrap_or_else(|| of_pod("token"));
        let ca = self.ca_file.clone().unwrap_or_else(|| of_pod("ca.crt"));
        let (token_file, ca_file) = (at.readable("token_file", &token), at.readable("ca_file", &ca));
        Some(Arc::new(KubernetesConfig {
            enabled: self.enabled,
            deployment,
            namespace: namespace?,
            server: server?,
            token_file,
            ca_file,
            within,
            scale_by,
            replicas: (least, most),
            raised_for,
            rollback_within,
        }))
    }
}

/// A name as Kubernetes writes them (an RFC 1123 subdomain): nothing that would mean something in a path.
fn name(text: &str) -> Result<String, String> {
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let inner = text.bytes().all(|b| letter(b) || matches!(b, b'-' | b'.'));
    let ends = text.bytes().next().is_some_and(letter) && text.bytes().last().is_some_and(letter);
    let fits = inner && ends && text.len() <= 253;
    let why = || format!("{text:?} is no name of Kubernetes: lower case letters, digits, - and . inside");
    fits.then(|| text.to_owned()).ok_or_else(why)
}

fn own_namespace() -> Result<String, String> {
    let file = format!("{ACCOUNT}/namespace");
    let text = crate::runtime::files::read_to_string(Path::new(&file));
    text.map(|text| text.trim().to_owned())
        .map_err(|error| format!("is not written, and {file:?} cannot be read: {error}"))
}

fn own_server() -> Result<String, String> {
    let of = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    let named = of("KUBERNETES_SERVICE_HOST").zip(of("KUBERNETES_SERVICE_PORT"));
    let why =
        || "is not written, and KUBERNETES_SERVICE_HOST and _PORT are not set: this is no pod".to_owned();
    let (host, port) = named.ok_or_else(why)?;
    Ok(if host.contains(':') {
        format!("https://[{host}]:{port}/")
    } else {
        format!("https://{host}:{port}/")
    })
}

#[cfg(test)]
mod tests {
    use super::super::load;
    use crate::reliability::recovery::StepMode;

    const SMALLEST: &str = "[ingress]\n[upstreams.backend]\nendpoints = [\"127.0.0.1:8001\"]\n\
        [plans.a]\nsteps = [{ action = \"restart_service\", mode = \"act\" }]\n";

    /// A file that can be read, as long as its directory is held.
    fn readable() -> (tempfile::TempDir, String) {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("file");
        std::fs::write(&file, "a token").expect("writes");
        (dir, file.display().to_string())
    }

    fn of(more: &str) -> Result<super::super::RecoveryConfig, String> {
        let (_dir, file) = readable();
        let text = more.replace("FILE", &file);
        let read = load(&format!("{SMALLEST}{text}"), "a test", &[]);
        read.map(|config| config.recovery).map_err(|problems| {
            problems.all.iter().map(|problem| problem.message.clone()).collect::<Vec<_>>().join("\n")
        })
    }

    const WHOLE: &str = "[kubernetes]\ndeployment = \"api\"\nnamespace = \"shop\"\nserver = \"https://k8s:6443\"\n\
        token_file = \"FILE\"\nca_file = \"FILE\"\n";

    #[test]
    fn what_a_plan_does_by_the_cluster_is_only_said_until_that_is_enabled() {
        let mode = |more: &str| of(&format!("{WHOLE}{more}")).expect("runs").policy.plans[0].steps[0].mode;
        assert_eq!((mode(""), mode("enabled = true\n")), (StepMode::DryRun, StepMode::Act));
        assert!(of("").expect_err("nobody does it").contains("restart_service"));
    }

    #[test]
    fn what_is_wrong_is_told_with_what_to_write() {
        for (from, to, wanted) in [
            ("\"api\"", "\"../api\"", "no name of Kubernetes"),
            ("https://", "http://", "in clear"),
            ("server = \"https://k8s:6443\"\n", "", "this is no pod"),
            ("ca_file = \"FILE\"", "ca_file = \"/nowhere\"", "cannot be read"),
            ("deployment", "min_replicas = 9\nmax_replicas = 8\ndeployment", "more than max_replicas"),
        ] {
            let told = of(&WHOLE.replacen(from, to, 1)).expect_err(to);
            assert!(told.contains(wanted), "{to}: {told}");
        }
    }
}
