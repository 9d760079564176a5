//! Several at once look for components that were enabled; each is driven once for each wish.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bosun::{
    admit::{Admit, AdmitSettings, Gathered},
    clients::{Endpoints, ServiceSettings, Services},
    plan::workflow,
};
use reqwest::Method;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{COMPONENTS, edges, server, sessions, settled};
use crate::support::server::Server;

const NODES: usize = 30;
/// Beside the server's own loop.
const RIVALS: usize = 4;

/// What another replica admits with.
fn rival(server: &Server) -> Admit {
    let url = server.machine.url();
    let mut endpoints = Endpoints {
        hsm: url.clone(),
        pcs: url.clone(),
        bss: url.clone(),
        cfs: url.clone(),
        ims: url.clone(),
        tapms: url.clone(),
        ..Endpoints::default()
    };
    endpoints.s3.url = url;
    let services = Services::new(&endpoints, ServiceSettings::default()).unwrap();
    Admit::new(
        Arc::new(services),
        server.database.pool.clone(),
        workflow::embedded(),
        AdmitSettings::default(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn any_number_of_replicas_admit_each_component_once() {
    let (server, xnames) = server(NODES).await;
    let stop = CancellationToken::new();
    let mut rivals = tokio::task::JoinSet::new();
    for _ in 0..RIVALS {
        let (admit, stop) = (rival(&server), stop.clone());
        rivals.spawn(async move {
            let (mut admitted, mut beaten) = (0, 0);
            while !stop.is_cancelled() {
                match admit.enabled().await.unwrap() {
                    Gathered::Admitted(_) => admitted += 1,
                    Gathered::Changed => beaten += 1,
                    // As soon as there is one, all come at once.
                    Gathered::Nobody => tokio::time::sleep(Duration::from_millis(20)).await,
                    Gathered::Until(left) => tokio::time::sleep(left).await,
                }
            }
            (admitted, beaten)
        });
    }
    // In three parts, each of which is gathered by itself or with another.
    for part in xnames.chunks(NODES / 3) {
        let patch = json!({"patch": {"enabled": true}, "filters": {"ids": part.join(",")}});
        server.ok(Method::PATCH, COMPONENTS, Some(patch)).await;
        settled(&server, &part[0]).await;
    }
    for xname in &xnames {
        let end = settled(&server, xname).await;
        assert_eq!((&end["error"], &end["status"]["status"]), (&json!(""), &json!("stable")), "{end}");
        assert_eq!(edges(&server, xname), 1, "{xname} is switched off once");
    }
    stop.cancel();
    let (mut admitted, mut beaten) = (0, 0);
    while let Some(ended) = rivals.join_next().await {
        let (own, lost) = ended.unwrap();
        (admitted, beaten) = (admitted + own, beaten + lost);
    }
    assert!(admitted + beaten > 0, "the server was always alone");
    // Each component is in one session, and nobody is left out of any.
    let ours: Vec<Value> =
        sessions(&server).await.into_iter().filter(|session| session["operation"] == "implicit").collect();
    let mut members: BTreeMap<String, usize> = BTreeMap::new();
    for session in &ours {
        let name = session["name"].as_str().unwrap();
        let ids: Vec<String> = sqlx::query_scalar(
            "select c.xname from session s join session_component_batch b using (session_id)
               cross join lateral unnest(b.component_ids) u(component_id) join component c using (component_id)
              where s.name = $1",
        )
        .bind(name)
        .fetch_all(&server.database.pool)
        .await
        .unwrap();
        ids.into_iter().for_each(|id| *members.entry(id).or_default() += 1);
    }
    assert_eq!(members, xnames.iter().map(|xname| (xname.clone(), 1)).collect(), "{ours:?}");
}
