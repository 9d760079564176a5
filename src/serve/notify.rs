//! Tells people of sessions: by a webhook, and by Events where workers are Jobs of Kubernetes. At least once: the outbox
//! is in the database, and whoever serves next goes on with it.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::{
    clients::{
        kubernetes::{Kubernetes, News},
        notification::{Webhook, WebhookSettings},
    },
    db,
    engine::launcher::{Workers, kubernetes::JobTemplate},
    model::notification::Notification,
};

use super::Settings;

/// How often it is looked for news.
const INTERVAL: Duration = Duration::from_secs(2);
/// The pause after the first try that failed; it doubles from there, up to ten minutes.
const PAUSE: Duration = Duration::from_secs(5);
/// How long nobody else tries what one `serve` is sending: longer than a call to each of those who are told may take.
const LEASE: Duration = Duration::from_secs(60);
/// So often something is tried, for some three hours.
const TRIES_MAX: i32 = 24;

/// Who is told.
pub(super) struct Told {
    webhook: Option<Webhook>,
    kubernetes: Option<(Kubernetes, JobTemplate)>,
}

impl Told {
    /// As it was configured.
    pub(super) fn new(settings: &Settings, workers: &Workers) -> anyhow::Result<Self> {
        let webhook = settings.notify.webhook_url.as_ref().map(|url| {
            Webhook::new(WebhookSettings {
                url: url.clone(),
                secret_file: settings.notify.webhook_secret_file.clone(),
                ca_file: settings.access.ca_file.clone(),
            })
        });
        let kubernetes = match workers {
            Workers::Local(_) => None,
            Workers::Kubernetes(workers) => Some((workers.kubernetes.clone(), workers.template.clone())),
        };
        Ok(Self { webhook: webhook.transpose().context("nobody can be notified")?, kubernetes })
    }

    /// Tells for ever. Where nobody is to be told, news only lies there until it is forgotten.
    pub(super) async fn tell(self, pool: db::Pool) {
        if self.webhook.is_none() && self.kubernetes.is_none() {
            return std::future::pending().await;
        }
        loop {
            if let Err(error) = self.look(&pool).await {
                tracing::warn!("nobody is notified: {error}");
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    async fn look(&self, pool: &db::Pool) -> Result<(), db::DbError> {
        loop {
            let taken = db::notification::take(&mut *db::acquire(pool).await?, LEASE).await?;
            let Some(one) = taken else { return Ok(()) };
            let sent = self.send(&one).await;
            let mut conn = db::acquire(pool).await?;
            match sent {
                Ok(()) => db::notification::done(&mut conn, one.id, None).await?,
                Err(error) if one.tries + 1 >= TRIES_MAX => {
                    tracing::warn!(notification = one.id, "given up after {TRIES_MAX} tries: {error}");
                    db::notification::done(&mut conn, one.id, Some(&error)).await?;
                }
                Err(error) => {
                    tracing::warn!(notification = one.id, "not told yet, trying again: {error}");
                    db::notification::put_back(&mut conn, one.id, PAUSE).await?;
                }
            }
        }
    }

    async fn send(&self, news: &Notification) -> Result<(), String> {
        if let Some(webhook) = &self.webhook {
            webhook.tell(news.id, &body(news)).await.map_err(|error| error.to_string())?;
        }
        if let Some((kubernetes, template)) = &self.kubernetes {
            let name = format!("bosun-session-{}-{}", news.session_id, news.id);
            let reason = match news.kind.as_str() {
                "ended" => "SessionEnded",
                "halted" => "SessionHalted",
                "overdue" => "SessionOverdue",
                _ => "SessionStuck",
            };
            let told = News {
                name: &name,
                job: &template.job_name(news.session_id, news.launch),
                reason,
                message: &news.told(),
                is_warning: news.is_warning(),
                at: news.at,
            };
            kubernetes.tell(&told).await.map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

fn body(news: &Notification) -> Value {
    json!({
        "id": news.id, "kind": news.kind, "at": news.at, "text": news.told(), "session": news.session,
        "session_id": news.session_id, "tenant": news.tenant, "operation": news.operation, "template": news.template,
        "state": news.state, "outcome": news.outcome, "reason": news.reason, "targeted": news.members,
        "succeeded": news.succeeded, "failed": news.failed, "skipped": news.skipped,
        "next_command": news.next_command,
    })
}
