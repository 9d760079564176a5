//! What the launcher launches, from what was configured.

use anyhow::{Context as _, bail};

use crate::{
    clients::kubernetes::Kubernetes,
    config::LauncherKind,
    engine::launcher::{
        Workers,
        kubernetes::{JobTemplate, KubernetesWorkers},
        local::LocalWorkers,
    },
};

use super::Settings;

/// What workers are. A template that cannot be used is refused now, not when a session waits.
pub(super) async fn workers(settings: &Settings) -> anyhow::Result<Workers> {
    let template = match (settings.launcher.launcher, &settings.launcher.worker_template) {
        (LauncherKind::Local, _) => return Ok(Workers::Local(local_workers(settings))),
        (LauncherKind::Kubernetes, Some(file)) => file,
        (LauncherKind::Kubernetes, None) => bail!("--launcher kubernetes needs --worker-template"),
    };
    let text = std::fs::read_to_string(template)
        .with_context(|| format!("cannot read the workers' Job {}", template.display()))?;
    let template = JobTemplate::parse(&text)
        .with_context(|| format!("the workers' Job {} cannot be used", template.display()))?;
    let kubernetes = Kubernetes::new(template.selector()).await?;
    Ok(Workers::Kubernetes(Box::new(KubernetesWorkers { kubernetes, template })))
}

fn local_workers(settings: &Settings) -> LocalWorkers {
    let mut environment = vec![("DATABASE_URL".to_owned(), settings.database_url.clone())];
    environment.extend(settings.services.environment());
    environment.extend(settings.pcs.environment());
    environment.extend(settings.worker_environment.iter().cloned());
    let environment = environment.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
    LocalWorkers { program: settings.program.clone(), environment }
}
