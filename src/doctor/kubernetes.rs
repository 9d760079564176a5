//! What the launcher needs of Kubernetes: an API server that answers, rights, and a Job that can be used.

use std::time::Duration;

use super::{Finding, bad, good, warning};
use crate::{
    clients::kubernetes::{Kubernetes, KubernetesError},
    config::{DoctorArgs, LauncherKind},
    engine::launcher::kubernetes::JobTemplate,
};

/// How long Kubernetes may take to say who we are.
const RIGHTS_TIMEOUT: Duration = Duration::from_secs(15);

/// Looks, where workers run there.
pub(super) async fn look(args: &DoctorArgs) -> Vec<Finding> {
    if args.launcher.launcher != LauncherKind::Kubernetes {
        return Vec::new();
    }
    match tokio::time::timeout(RIGHTS_TIMEOUT, kubernetes(args)).await {
        Ok(findings) => findings,
        Err(_) => vec![bad(
            "kubernetes",
            format!("no answer within {} s", RIGHTS_TIMEOUT.as_secs()),
            "mend the way to the API server",
        )],
    }
}

async fn kubernetes(args: &DoctorArgs) -> Vec<Finding> {
    let mut findings = Vec::new();
    let template = args.launcher.worker_template.as_deref().map(std::fs::read_to_string);
    let selector = match template {
        Some(Ok(text)) => match JobTemplate::parse(&text) {
            Ok(template) => {
                findings.push(good("workers' Job", "can be used"));
                template.selector()
            }
            Err(error) => {
                findings.push(bad(
                    "workers' Job",
                    error.to_string(),
                    "correct the file of --worker-template",
                ));
                String::new()
            }
        },
        Some(Err(error)) => {
            findings.push(bad(
                "workers' Job",
                error.to_string(),
                "give a readable file as --worker-template",
            ));
            String::new()
        }
        None => String::new(),
    };
    let mend = "run this in the pod of serve, or where kubectl works";
    let kubernetes = match Kubernetes::new(selector).await {
        Ok(kubernetes) => kubernetes,
        Err(error) => {
            findings.push(bad("kubernetes", error.to_string(), mend));
            return findings;
        }
    };
    match kubernetes.version().await {
        Ok(version) => findings.push(good("kubernetes", format!("version {version}"))),
        Err(error) => {
            findings.push(bad("kubernetes", error.to_string(), mend));
            return findings;
        }
    }
    findings.push(rights(kubernetes.rights_missing().await));
    findings
}

fn rights(missing: Result<Vec<String>, KubernetesError>) -> Finding {
    const WHAT: &str = "kubernetes rights";
    match missing {
        Ok(missing) if missing.is_empty() => good(WHAT, "all that the launcher needs"),
        Ok(missing) => bad(
            WHAT,
            format!("it may not {}", missing.join(", ")),
            "give its ServiceAccount the Role of the chart (charts/bosun/templates/role.yaml)",
        ),
        Err(error) => warning(WHAT, error.to_string(), "look with 'kubectl auth can-i'"),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Grade, *};

    #[test]
    fn rights_that_lack_are_named() {
        assert_eq!(rights(Ok(Vec::new())).grade, Grade::Good);
        let lacks = rights(Ok(vec!["delete jobs in bosun".to_owned(), "watch pods in bosun".to_owned()]));
        assert_eq!(lacks.grade, Grade::Bad);
        assert_eq!(lacks.found, "it may not delete jobs in bosun, watch pods in bosun");
        assert!(lacks.mend.expect("it can be mended").contains("role.yaml"));
    }
}
